"""The demo's figures, from its runs and outcomes."""

import math
from collections.abc import Mapping
from pathlib import Path

from mmdistill_dense.engine.trainings.logs import curve, records
from mmdistill_dense.visualization import figures
from mmdistill_dense.visualization.overlay import example_rows

from .report import Outcomes
from .studies import ROLES, Study

#: Log key of the distillation term in the demo's configs.
TERM = 'loss_cwd'


def draw_figures(
    folder: Path,
    study: Study,
    outcomes: Outcomes,
    work_dirs: Mapping[str, Path],
    metainfo: dict,
) -> None:
    """Write the three figures of a study into a folder.

    Args:
        folder: Gets ``<study>_examples.png``, ``_curves.png``, ``_gain.png``.
        work_dirs: Work dir of each role.
        metainfo: Classes and palette of the data set.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shown = [outcomes[r].examples for r in ('student', 'distilled', 'teacher')]
    figures.picture_grid(
        folder / f'{study.name}_examples.png',
        example_rows(shown, metainfo['palette']),
        ('input', 'ground truth', 'student', 'distilled', 'teacher'),
        dict(zip(metainfo['classes'], metainfo['palette'], strict=True)),
    )
    figures.curves(
        folder / f'{study.name}_curves.png',
        {role: _task_loss(work_dirs[role]) for role in ROLES},
        {role: curve(work_dirs[role], study.metric) for role in ROLES},
        study.label,
    )
    figures.gains(
        folder / f'{study.name}_gain.png',
        class_gains(outcomes),
        f'{study.title}: points of the distilled student over the student',
    )


def class_gains(outcomes: Outcomes) -> dict[str, float]:
    """Points that distillation brought each class of the validation set."""
    student, distilled = outcomes['student'], outcomes['distilled']
    gains = {
        name: distilled.classes[name] - value
        for name, value in student.classes.items()
    }
    return {k: gain for k, gain in gains.items() if not math.isnan(gain)}


def _task_loss(work_dir: Path) -> figures.Curve:
    """The loss without its distillation term, so that all runs compare."""
    logged = [record for record in records(work_dir) if 'loss' in record]
    return (
        [record['step'] for record in logged],
        [record['loss'] - record.get(TERM, 0) for record in logged],
    )
