"""The demo's figures, from its runs and outcomes."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmengine.config import Config

from mmdistill_dense.engine.trainings.logs import curve, records
from mmdistill_dense.engine.trainings.runs import Run
from mmdistill_dense.visualization import figures
from mmdistill_dense.visualization.overlay import example_rows

from .report import Outcomes
from .studies import ROLES, Study
from .tokens import draw_learning, draw_tokens


def draw_figures(
    folder: Path,
    study: Study,
    outcomes: Outcomes,
    runs: Mapping[str, Run],
    cfg: Config,
) -> None:
    """Write the figures of a study into a folder.

    Args:
        folder: Gets ``<study>_<method>_examples.png``, ``_curves.png`` and
            ``_gain.png``; for MasKD also ``_tokens.png``, how they were
            learned, and ``_masks.png``, where they look.
        runs: The run of each role.
        cfg: Of the distilled student, with classes and palette of the data.
    """
    metainfo = cfg.metainfo
    folder.mkdir(parents=True, exist_ok=True)
    shown = [outcomes[r].examples for r in ('student', 'distilled', 'teacher')]
    figures.picture_grid(
        folder / f'{study.stem}_examples.png',
        example_rows(shown, metainfo['palette']),
        ('input', 'ground truth', 'student', 'distilled', 'teacher'),
        dict(zip(metainfo['classes'], metainfo['palette'], strict=True)),
    )
    terms = [f'loss_{name}' for name in cfg.model.terms]
    figures.curves(
        folder / f'{study.stem}_curves.png',
        {role: _task_loss(runs[role].folder, terms) for role in ROLES},
        {role: curve(runs[role].folder, study.metric) for role in ROLES},
        study.label,
    )
    figures.gains(
        folder / f'{study.stem}_gain.png',
        class_gains(outcomes),
        f'{study.title}: points of the distilled student over the student',
    )
    if 'tokens' in runs:
        path = folder / f'{study.stem}_tokens.png'
        draw_learning(path, runs['tokens'].folder)
        image = shown[0][0].img_path
        draw_tokens(folder / f'{study.stem}_masks.png', runs['tokens'], image)


def class_gains(outcomes: Outcomes) -> dict[str, float]:
    """Points that distillation brought each class of the validation set."""
    student, distilled = outcomes['student'], outcomes['distilled']
    gains = {
        name: distilled.classes[name] - value
        for name, value in student.classes.items()
    }
    return {k: gain for k, gain in gains.items() if not math.isnan(gain)}


def _task_loss(work_dir: Path, terms: Iterable[str]) -> figures.Curve:
    """The loss without its distillation terms, so that all runs compare."""
    logged = [record for record in records(work_dir) if 'loss' in record]
    return (
        [record['step'] for record in logged],
        [r['loss'] - sum(r.get(term, 0) for term in terms) for r in logged],
    )
