"""What the demo says at its end: table, results file, verdict."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from mmdistill_tools.runs.scores import Outcome
from mmdistill_tools.study.results import strict

from .pretraining import Pretrained
from .tokens import Learned
from .trios import ROLES, Trio

#: What is known of one model: an outcome for each role.
Outcomes = Mapping[str, Outcome]
#: How the stages of its method went, by role.
Stages = Mapping[str, Learned | Pretrained]


def results_table(results: Mapping[Trio, Outcomes]) -> Table:
    """One table of all models."""
    table = Table(title='Distillation, measured on the validation images')
    table.add_column('model')
    for column in ('score', 'params', 'FLOPs', 'images/s'):
        table.add_column(column, justify='right')
    for trio, outcomes in results.items():
        for role in ROLES:
            found = outcomes[role]
            table.add_row(
                f'{trio.title} {trio.name_of(role)}',
                _score(trio, found),
                f'{found.parameters / 1e6:.2f} M',
                f'{found.flops / 1e9:.2f} G',
                f'{found.images_per_second:.0f}',
                end_section=role == ROLES[-1],
            )
    return table


def _score(trio: Trio, outcome: Outcome) -> str:
    value, box = (
        score(trio, outcome),
        outcome.scores.get('coco/bbox_mAP'),
    )
    if box is None:
        return f'{trio.label} {value:.1f}'
    return f'mask/box AP {value:.1f}/{box:.1f}'


def score(trio: Trio, outcome: Outcome) -> float:
    """The score that is compared, in points."""
    return outcome.scores[trio.metric]


def write_results(
    path: Path,
    results: Mapping[Trio, Outcomes],
    settings: dict,
    stages: Mapping[Trio, Stages],
) -> None:
    """Every figure of the table, and those of each class, as JSON.

    What was not measured, as a class that no image has, is null.
    """
    content = dict(settings=settings, studies={})
    for trio, outcomes in results.items():
        content['studies'][trio.name] = {
            role: dict(
                config=trio.config_of(role),
                score=score(trio, outcomes[role]),
                metric=trio.metric,
                scores=strict(outcomes[role].scores),
                classes=strict(outcomes[role].classes),
                parameters=outcomes[role].parameters,
                flops=outcomes[role].flops,
                images_per_second=outcomes[role].images_per_second,
            )
            for role in ROLES
        }
        for role, found in stages.get(trio, {}).items():
            content['studies'][trio.name][role] = dict(
                config=trio.config_of(role), **asdict(found)
            )
    text = json.dumps(content, indent=1, allow_nan=False)
    path.write_text(f'{text}\n', encoding='utf-8')


def left_out(title: str, method: str) -> str:
    """Why a model has no part in a method."""
    return (
        f'{title} has no part in METHOD={method}: here its student '
        'starts from a backbone trained with labels, and one pre-trained '
        'without them is no fair match for it.'
    )


def gained(trio: Trio, outcomes: Outcomes) -> str:
    """A sentence on what distillation brought, whichever way it went."""
    teacher, student, distilled = (
        score(trio, outcomes[role]) for role in ROLES
    )
    gain = round(distilled - student, 1)
    word = 'above' if gain >= 0 else 'BELOW'
    text = (
        f'{trio.title}: the {trio.name_of("distilled")} student is '
        f'{abs(gain):.1f} points {trio.label} {word} the student'
    )
    gap = teacher - student
    if gain > 0 and gap > 0:
        text += f', {100 * gain / gap:.0f} % of the way to the teacher'
    return f'{text}.'


def complaint(trio: Trio, outcomes: Outcomes) -> str | None:
    """Why the teacher had nothing to teach, or None."""
    teacher, student = (score(trio, outcomes[r]) for r in ROLES[:2])
    remedy = (
        'Train longer (--length 2) or try another --seed, each with a '
        '--work-dir of its own; the curves in figures/ show how the runs went.'
    )
    if teacher < trio.least:
        return (
            f'the {trio.title} teacher learnt too little to teach: expected '
            f'{trio.label} {trio.least:g} or more, got {teacher:.1f}. '
            + remedy
        )
    if teacher < student + trio.margin:
        return (
            f'the {trio.title} teacher is not clearly above its student: '
            f'expected {trio.margin:g} points {trio.label} more than the '
            f"student's {student:.1f}, got {teacher:.1f}. " + remedy
        )
    return None
