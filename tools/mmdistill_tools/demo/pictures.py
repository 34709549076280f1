"""The demo's figures of one comparison, from its runs and outcomes."""

from collections.abc import Mapping
from pathlib import Path

from mmdistill_tools import figures
from mmdistill_tools.runs.logs import curve, records
from mmdistill_tools.runs.run import Run
from mmdistill_tools.runs.scores import Outcome
from mmdistill_tools.study.measure import trained_config
from mmdistill_tools.study.outputs import draw_figures, draw_predictions
from mmdistill_tools.study.results import ResultsFile

from . import pretraining, tokens
from .comparisons import ROLES, Comparison


def draw_pictures(
    folder: Path, comparison: Comparison, outcomes: Mapping[str, Outcome]
) -> None:
    """Write the figures of a comparison into a folder.

    Args:
        folder: Gets ``<model>_<method>_examples.png``, ``_curves.png``, and
            the figures of its study, ``_scores.png`` and ``_classes.png``;
            for MasKD also ``_tokens.png``, how they were learned, and
            ``_masks.png``, where they look; for PCD ``_pretraining.png``,
            how the contrast went.
        comparison: Its runs have ended.
        outcomes: Of each role.
    """
    runs, stem = comparison.runs, folder / comparison.stem
    folder.mkdir(parents=True, exist_ok=True)
    columns = ('student', 'distilled', 'teacher')
    draw_predictions(
        f'{stem}_examples.png',
        {comparison.title_of(role): outcomes[role] for role in columns},
    )
    titles = {role: comparison.title_of(role) for role in ROLES}
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
        image = outcomes['student'].examples[0].img_path
        tokens.draw_tokens(f'{stem}_masks.png', runs[tokens.ROLE], image)
    if pretraining.ROLE in runs:
        path = f'{stem}_pretraining.png'
        pretraining.draw_learning(path, runs[pretraining.ROLE])


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
