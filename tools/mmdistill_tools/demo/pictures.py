"""Figures of one comparison of the demo."""

from pathlib import Path

import numpy as np

from mmdistill_tools import figures
from mmdistill_tools.runs.logs import curve, records
from mmdistill_tools.runs.run import Run
from mmdistill_tools.study.measure import (
    image_scores_of,
    predictions_of,
    trained_config,
)
from mmdistill_tools.study.outputs import draw_figures, draw_predictions
from mmdistill_tools.study.results import ResultsFile

from . import pretraining, tokens
from .comparisons import ROLES, Comparison

#: Number of validation images in the example figure, and of those, from the
#: first one on, among which they are chosen.
EXAMPLES, CANDIDATES = 5, 40


def draw_comparison(folder: Path, comparison: Comparison) -> None:
    """Write the figures of a comparison into a folder.

    Args:
        folder: Output folder of ``<model>_<method>_examples.png``,
            ``_curves.png``, and the figures of the study, ``_scores.png`` and
            ``_classes.png``; for MasKD also ``_tokens.png`` (learning curves)
            and ``_masks.png`` (masks of an image); for PCD
            ``_pretraining.png`` (curves of the contrast).
        comparison: A comparison whose runs have ended.
    """
    runs, stem = comparison.runs, folder / comparison.stem
    folder.mkdir(parents=True, exist_ok=True)
    image = draw_examples(f'{stem}_examples.png', comparison)
    titles = {
        role: comparison.title_of(role)
        for role in ROLES
        if runs[role].pretrained_checkpoint is None
    }
    figures.curves(
        f'{stem}_curves.png',
        {title: _task_loss(runs[role]) for role, title in titles.items()},
        {
            title: curve(runs[role].folder, comparison.metric)
            for role, title in titles.items()
        },
        comparison.label,
    )
    study = comparison.study
    draw_figures(study, ResultsFile(study.results), stem)
    if tokens.ROLE in runs:
        tokens.draw_learning(f'{stem}_tokens.png', runs[tokens.ROLE])
        tokens.draw_tokens(f'{stem}_masks.png', runs[tokens.ROLE], image)
    if pretraining.ROLE in runs:
        path = f'{stem}_pretraining.png'
        pretraining.draw_learning(path, runs[pretraining.ROLE])


def draw_examples(path: str | Path, comparison: Comparison) -> str:
    """Draw the images nearest to the median gain, with their scores.

    They are chosen among the first ``CANDIDATES`` validation images.

    Args:
        path: File to write.
        comparison: A comparison whose runs have ended.

    Returns:
        File of the first image.
    """
    columns = ('student', 'distilled', 'teacher')
    titles = [comparison.title_of(role) for role in columns]
    runs = [comparison.runs[role] for role in columns]
    key = comparison.metric
    first = range(CANDIDATES)
    student, distilled = (image_scores_of(run, key, first) for run in runs[:2])
    gains = np.array([distilled[i] - student[i] for i in student])
    chosen = nearest_to_median(gains, EXAMPLES)
    teacher = image_scores_of(runs[2], key, chosen)
    predictions = [predictions_of(run, chosen) for run in runs]
    draw_predictions(
        path,
        dict(zip(titles, predictions, strict=True)),
        {
            title: [f'{comparison.label} {scores[i]:.0f}' for i in chosen]
            for title, scores in zip(
                titles, (student, distilled, teacher), strict=True
            )
        },
    )
    return predictions[0][0][0].img_path


def nearest_to_median(gains: np.ndarray, count: int) -> list[int]:
    """Indices of the values nearest to their median, in ascending order.

    Args:
        gains: Gain of each image; nan without a score.
        count: Number of indices.
    """
    distance = np.abs(gains - np.nanmedian(gains))  # nan comes last
    return sorted(np.argsort(distance, kind='stable')[:count].tolist())


def _task_loss(run: Run) -> figures.Curve:
    """Steps and loss without distillation terms, comparable in all runs."""
    terms = trained_config(run).model.get('terms', ())
    logged = [record for record in records(run.folder) if 'loss' in record]
    return (
        [record['step'] for record in logged],
        [
            record['loss'] - sum(record.get(f'loss_{t}', 0) for t in terms)
            for record in logged
        ],
    )
