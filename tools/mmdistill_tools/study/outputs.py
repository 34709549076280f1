"""Tables of a study in documents, and its figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.structures import BaseDataElement

from mmdistill_tools import figures
from mmdistill_tools.documents import Blocks
from mmdistill_tools.overlay import example_rows

from . import StudyError
from .definition import Study, read_study
from .measure import predictions_of
from .plan import Entry, plan_study
from .results import ResultsFile
from .tables import TABLES, class_gains, scored_rows

BLOCKS = Blocks('study', 'docs/studies/NAME.yaml scores', StudyError)
BLOCK = BLOCKS.pattern


def update_document(path: Path, root: Path) -> bool:
    """Write the tables of a document into its blocks.

    Args:
        path: A Markdown file.
        root: Folder that the names of study files are relative to.

    Returns:
        Whether something changed.

    Raises:
        StudyError: If a table has no such name, or a file cannot be read.
    """

    def make(file: str, table: str) -> str:
        if table not in TABLES:
            raise StudyError(
                f'{path} asks for a table {table!r} of {file}. '
                f'Expected one of {", ".join(TABLES)}.'
            )
        study = read_study(root / file)
        return TABLES[table](study, ResultsFile(study.results))

    return BLOCKS.update(path, make)


def write_report(study: Study, results: ResultsFile) -> Path:
    """All tables in one Markdown file, in the work dir."""
    parts = [f'# {study.title}']
    for name, make in TABLES.items():
        parts.append(f'## {name.capitalize()}\n\n{make(study, results)}')
    path = study.work_dir / 'report.md'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n\n'.join(parts) + '\n', encoding='utf-8')
    return path


def draw_figures(
    study: Study, results: ResultsFile, stem: Path | None = None
) -> list[Path]:
    """Draw the scores, and the gains of each class.

    Args:
        study: The study.
        results: Results of its runs.
        stem: Prefix of the file names; default: that of the results file.

    Returns:
        ``<stem>_scores.png``, and ``<stem>_classes.png`` if there are class
        scores.
    """
    key, label = next(iter(study.metrics.items()))
    stem = stem or study.results.with_suffix('')
    scores = {
        row.title: [r.scores[key] for r in found.values()]
        for row, found in scored_rows(study, results)
        if key in row.metrics
    }
    written = [Path(f'{stem}_scores.png')]
    figures.points(written[0], scores, label)
    gains = class_gains(study, results)
    if gains:
        written.append(Path(f'{stem}_classes.png'))
        baseline = study.rows[study.baselines[0]].title
        figures.class_points(written[1], gains, f'points over: {baseline}')
    return written


def draw_examples(
    study: Study, rows: Sequence[str], images: Sequence[int]
) -> Path:
    """Draw validation images with ground truth and predictions of rows.

    The work dir must have the last checkpoint of each row's first seed.

    Args:
        study: The study.
        rows: Names of its rows, a column for each.
        images: Indices of validation images, a row for each.

    Returns:
        The figure.

    Raises:
        StudyError: If a row or its checkpoint does not exist.
    """
    planned = plan_study(study)
    entries = [trained_entry(study, name, planned) for name in rows]
    runs = [predictions_of(entry.run, images) for entry in entries]
    found = len(runs[0][0])
    if found < len(set(images)):
        raise StudyError(
            f'of the validation images {list(images)} only {found} are '
            'there. Expected indices from 0 on.'
        )
    path = Path(f'{study.results.with_suffix("")}_examples.jpg')
    titles = [entry.row.title for entry in entries]
    draw_predictions(path, dict(zip(titles, runs, strict=True)))
    return path


def draw_predictions(
    path: str | Path,
    predictions: Mapping[str, tuple[list[BaseDataElement], dict]],
    notes: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Draw images with ground truth and predictions, a column per title.

    Args:
        path: File to write.
        predictions: By title, predictions of the same images and the
            metainfo of their data set.
        notes: Text of each image, by title.
    """
    shown = [samples for samples, _ in predictions.values()]
    _, metainfo = next(iter(predictions.values()))
    palette = metainfo['palette']
    columns = [(notes or {}).get(title) for title in predictions]
    figures.picture_grid(
        path,
        example_rows(shown, palette),
        ('input', 'ground truth', *predictions),
        dict(zip(metainfo['classes'], palette, strict=True)),
        [
            ('', '', *(texts[row] if texts else '' for texts in columns))
            for row in range(len(shown[0]))
        ],
    )


def trained_entry(study: Study, name: str, planned: Sequence[Entry]) -> Entry:
    """The entry of a row's first run.

    Raises:
        StudyError: If the row or its checkpoint does not exist.
    """
    for entry in planned:
        if entry.row.name == name and entry.row.scored:
            if entry.run.checkpoint.exists():
                return entry
            raise StudyError(
                f'row {name!r}: {entry.run.checkpoint} is not there. '
                'Examples need the checkpoints of a study: run it first.'
            )
    raise StudyError(
        f'{name!r} is no row with a score of {study.path}. Expected one of '
        f'{", ".join(row.name for row in study.rows.values() if row.scored)}.'
    )
