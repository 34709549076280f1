"""The demo's figures, from its runs and outcomes."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmengine.config import Config

from mmdistill_tools import figures
from mmdistill_tools.overlay import example_rows
from mmdistill_tools.runs.logs import curve, records
from mmdistill_tools.runs.runs import Run

from . import pretraining, tokens
from .studies import ROLES, Study
from .verdict import Outcomes


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
            learned, and ``_masks.png``, where they look; for PCD
            ``_pretraining.png``, how the contrast went.
        runs: The run of each role.
        cfg: Of the distilled student, with classes and palette of the data.
    """
    metainfo = cfg.metainfo
    names = {role: study.called(role) for role in ROLES}
    folder.mkdir(parents=True, exist_ok=True)
    columns = ('student', 'distilled', 'teacher')
    shown = [outcomes[role].examples for role in columns]
    figures.picture_grid(
        folder / f'{study.stem}_examples.png',
        example_rows(shown, metainfo['palette']),
        ('input', 'ground truth', *(names[role] for role in columns)),
        dict(zip(metainfo['classes'], metainfo['palette'], strict=True)),
    )
    terms = [f'loss_{name}' for name in cfg.model.get('terms', ())]
    figures.curves(
        folder / f'{study.stem}_curves.png',
        {n: _task_loss(runs[r].folder, terms) for r, n in names.items()},
        {n: curve(runs[r].folder, study.metric) for r, n in names.items()},
        study.label,
    )
    figures.gains(
        folder / f'{study.stem}_gain.png',
        class_gains(outcomes),
        f'{study.title}: points of the {names["distilled"]} student over the '
        'student',
    )
    if 'tokens' in runs:
        tokens.draw_learning(folder / f'{study.stem}_tokens.png', runs)
        path = folder / f'{study.stem}_masks.png'
        tokens.draw_tokens(path, runs['tokens'], shown[0][0].img_path)
    if 'pretraining' in runs:
        path = folder / f'{study.stem}_pretraining.png'
        pretraining.draw_learning(path, runs)


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
