"""The demo's figures, from its runs and outcomes."""

import math
from pathlib import Path

from mmdistill_tools import figures
from mmdistill_tools.runs.logs import curve, records
from mmdistill_tools.runs.run import Run
from mmdistill_tools.study.measure import trained_config
from mmdistill_tools.study.outputs import draw_predictions

from . import pretraining, tokens
from .trios import ROLES, Trio
from .verdict import Outcomes


def draw_figures(folder: Path, trio: Trio, outcomes: Outcomes) -> None:
    """Write the figures of a model into a folder.

    Args:
        folder: Gets ``<model>_<method>_examples.png``, ``_curves.png`` and
            ``_gain.png``; for MasKD also ``_tokens.png``, how they were
            learned, and ``_masks.png``, where they look; for PCD
            ``_pretraining.png``, how the contrast went.
        trio: The model, whose runs have ended.
        outcomes: Of each role.
    """
    runs, stem = trio.runs, folder / trio.stem
    names = {role: trio.name_of(role) for role in ROLES}
    folder.mkdir(parents=True, exist_ok=True)
    columns = ('student', 'distilled', 'teacher')
    draw_predictions(
        f'{stem}_examples.png', {names[r]: outcomes[r] for r in columns}
    )
    figures.curves(
        f'{stem}_curves.png',
        {name: _task_loss(runs[role]) for role, name in names.items()},
        {
            name: curve(runs[role].folder, trio.metric)
            for role, name in names.items()
        },
        trio.label,
    )
    figures.class_points(
        f'{stem}_gain.png',
        {f'{trio.title} {names["distilled"]}': class_gains(outcomes)},
        'points over the student',
    )
    if 'tokens' in runs:
        tokens.draw_learning(f'{stem}_tokens.png', runs['tokens'])
        image = outcomes['student'].examples[0].img_path
        tokens.draw_tokens(f'{stem}_masks.png', runs['tokens'], image)
    if 'pretraining' in runs:
        path = f'{stem}_pretraining.png'
        pretraining.draw_learning(path, runs['pretraining'])


def class_gains(outcomes: Outcomes) -> dict[str, float]:
    """Points that distillation brought each class of the validation set."""
    student, distilled = outcomes['student'], outcomes['distilled']
    gains = {
        name: distilled.classes[name] - value
        for name, value in student.classes.items()
    }
    return {k: gain for k, gain in gains.items() if not math.isnan(gain)}


def _task_loss(run: Run) -> figures.Curve:
    """The loss without its distillation terms, so that all runs compare."""
    terms = trained_config(run).model.get('terms', ())
    logged = [record for record in records(run.folder) if 'loss' in record]
    return (
        [record['step'] for record in logged],
        [
            record['loss'] - sum(record.get(f'loss_{t}', 0) for t in terms)
            for record in logged
        ],
    )
