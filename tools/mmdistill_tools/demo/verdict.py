"""What the demo says at its end: table, results file, verdict."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from mmdistill_tools.runs.scores import Outcome

from .pretraining import Pretrained
from .studies import ROLES, Study
from .tokens import Learned

#: What is known of one study: an outcome for each role.
Outcomes = Mapping[str, Outcome]
#: How the stages of its method went, by role.
Stages = Mapping[str, Learned | Pretrained]


def results_table(results: Mapping[Study, Outcomes]) -> Table:
    """One table of all models."""
    table = Table(title='Distillation, measured on the validation images')
    table.add_column('model')
    for column in ('score', 'params', 'FLOPs', 'images/s'):
        table.add_column(column, justify='right')
    for study, outcomes in results.items():
        for role in ROLES:
            found = outcomes[role]
            table.add_row(
                f'{study.title} {study.called(role)}',
                _score(study, found),
                f'{found.parameters / 1e6:.2f} M',
                f'{found.flops / 1e9:.2f} G',
                f'{found.images_per_second:.0f}',
                end_section=role == ROLES[-1],
            )
    return table


def _score(study: Study, outcome: Outcome) -> str:
    value, box = score(study, outcome), outcome.scores.get('coco/bbox_mAP')
    if box is None:
        return f'{study.label} {value:.1f}'
    return f'mask/box AP {value:.1f}/{box:.1f}'


def score(study: Study, outcome: Outcome) -> float:
    """The score that the study is about, in points."""
    return outcome.scores[study.metric]


def write_results(
    path: Path,
    results: Mapping[Study, Outcomes],
    settings: dict,
    stages: Mapping[Study, Stages],
) -> None:
    """Every figure of the table, and those of each class, as JSON.

    What was not measured, as a class that no image has, is null.
    """
    content = dict(settings=settings, studies={})
    for study, outcomes in results.items():
        content['studies'][study.name] = {
            role: dict(
                config=study.configs[study.of(role)],
                score=score(study, outcomes[role]),
                metric=study.metric,
                scores=_strict(outcomes[role].scores),
                classes=_strict(outcomes[role].classes),
                parameters=outcomes[role].parameters,
                flops=outcomes[role].flops,
                images_per_second=outcomes[role].images_per_second,
            )
            for role in ROLES
        }
        for role, found in stages.get(study, {}).items():
            content['studies'][study.name][role] = dict(
                config=study.configs[role], **asdict(found)
            )
    text = json.dumps(content, indent=1, allow_nan=False)
    path.write_text(f'{text}\n', encoding='utf-8')


def _strict(values: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no nan."""
    return {k: v if math.isfinite(v) else None for k, v in values.items()}


def left_out(study: Study, method: str) -> str:
    """Why a study has no part in a method."""
    return (
        f'{study.title} has no part in METHOD={method}: here its student '
        'starts from a backbone trained with labels, and one pre-trained '
        'without them is no fair match for it.'
    )


def gained(study: Study, outcomes: Outcomes) -> str:
    """A sentence on what distillation brought, whichever way it went."""
    teacher, student, distilled = (
        score(study, outcomes[role]) for role in ROLES
    )
    gain = round(distilled - student, 1)
    word = 'above' if gain >= 0 else 'BELOW'
    text = (
        f'{study.title}: the {study.called("distilled")} student is '
        f'{abs(gain):.1f} points {study.label} {word} the student'
    )
    gap = teacher - student
    if gain > 0 and gap > 0:
        text += f', {100 * gain / gap:.0f} % of the way to the teacher'
    return f'{text}.'


def complaint(study: Study, outcomes: Outcomes) -> str | None:
    """Why the teacher had nothing to teach, or None."""
    teacher, student = (score(study, outcomes[r]) for r in ROLES[:2])
    remedy = (
        'Train longer (--length 2) or try another --seed, each with a '
        '--work-dir of its own; the curves in figures/ show how the runs went.'
    )
    if teacher < study.least:
        return (
            f'the {study.title} teacher learnt too little to teach: expected '
            f'{study.label} {study.least:g} or more, got {teacher:.1f}. '
            + remedy
        )
    if teacher < student + study.margin:
        return (
            f'the {study.title} teacher is not clearly above its student: '
            f'expected {study.margin:g} points {study.label} more than the '
            f"student's {student:.1f}, got {teacher:.1f}. " + remedy
        )
    return None
