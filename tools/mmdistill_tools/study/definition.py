"""Definition of a study, read from its YAML file."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from . import StudyError
from .loading import check_keys, get_bool, get_file, get_seeds, get_text, load

#: Reference to a row's final checkpoint in another row's options.
REFERENCE = re.compile(r'\$\{([^}]*)\}')
NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?')
#: Keys of the study that apply to each row without its own.
SHARED = ('metrics', 'seeds', 'length', 'options')
DEFAULT_WORK_DIR = 'work_dirs/studies'
ROW_KEYS = ('config', 'checkpoint', 'title', 'scored', *SHARED, 'variants')


@dataclass(frozen=True)
class Row:
    """One row of the table: a config with its options.

    Attributes:
        name: ``row``, or ``row/variant``.
        title: Title in tables and figures.
        config: Config file, or ``package::path``.
        seeds: Seed of each run.
        length: Factor on the iterations of the config.
        options: Values for ``--cfg-options``; ``${row}`` in a value is
            replaced by the final checkpoint of that row.
        metrics: Name of each score in tables, by its key in the log; the
            first one is plotted.
        scored: Whether the models are evaluated; a pre-training is not.
        checkpoint: Checkpoint of a finished model, which is evaluated and
            not trained; None for a row that is trained.
    """

    name: str
    title: str
    config: str
    seeds: tuple[int, ...]
    length: float
    options: dict[str, Any]
    metrics: dict[str, str]
    scored: bool = True
    checkpoint: Path | None = None

    def needs(self) -> Iterator[str]:
        """Names of the rows whose checkpoints the options refer to."""
        for value in self.options.values():
            if isinstance(value, str):
                yield from REFERENCE.findall(value)


@dataclass(frozen=True)
class Study:
    """Content of a study file.

    Attributes:
        path: The study file.
        title: Title in tables and figures.
        metrics: Default metrics of the rows.
        baselines: Rows that the others are compared with; class scores are
            compared with the first one.
        rows: Rows by name, in the order of the tables.
        work_dir: Folder of the trainings.
        results: The results file.
    """

    path: Path
    title: str
    metrics: dict[str, str]
    baselines: tuple[str, ...]
    rows: dict[str, Row]
    work_dir: Path
    results: Path


def read_study(path: Path) -> Study:
    """Read a study file and check it.

    Raises:
        StudyError: If it cannot be read, or is invalid.
    """
    content = load(path)
    known = {f.name for f in fields(Study)} - {'path', 'baselines'}
    check_keys(f'{path}', content, known | {'baseline', *SHARED})
    for key in ('metrics', 'baseline', 'rows'):
        if not content.get(key):
            raise StudyError(
                f'{path} lacks {key!r}. Expected metrics, baseline and rows; '
                'docs/studies.md describes the file.'
            )
    rows = _by_name(path, _rows(path, content))
    where, name = f'{path}', path.stem
    study = Study(
        path=path,
        title=get_text(where, content, 'title', name),
        metrics=_metrics(f'{path}', content['metrics']),
        baselines=_baselines(path, content['baseline'], rows),
        rows=rows,
        work_dir=Path(
            get_text(where, content, 'work_dir', f'{DEFAULT_WORK_DIR}/{name}')
        ),
        results=path.parent
        / get_text(where, content, 'results', f'{name}.json'),
    )
    for row in rows.values():
        _check_needs(path, row, rows)
    return study


def _baselines(path: Path, value: Any, rows: dict) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    for name in map(str, names):
        if name not in rows or not rows[name].scored:
            scored = [row.name for row in rows.values() if row.scored]
            raise StudyError(
                f'{path}: baseline {name!r} is no row with a score. Expected '
                f'one of {", ".join(scored)}, or several as a list.'
            )
    return tuple(map(str, names))


def _metrics(where: str, value: Any) -> dict[str, str]:
    if isinstance(value, dict) and value:
        return {str(k): str(v) for k, v in value.items()}
    raise StudyError(
        f'{where}: metrics must map keys of the log to names for tables, such '
        f'as {{mIoU: mIoU}}, got {value!r}.'
    )


def _by_name(path: Path, rows: Iterator[Row]) -> dict[str, Row]:
    """Rows by name; names and titles must be unique."""
    found: dict[str, Row] = {}
    titles: dict[str, str] = {}
    for row in rows:
        if row.name in found:
            raise StudyError(f'{path}: two rows are named {row.name!r}.')
        if row.title in titles:
            raise StudyError(
                f'{path}: the rows {titles[row.title]!r} and {row.name!r} '
                f'have one title, {row.title!r}. Give each its own.'
            )
        found[row.name], titles[row.title] = row, row.name
    return found


def _rows(path: Path, content: dict) -> Iterator[Row]:
    rows = content['rows']
    if not isinstance(rows, dict):
        raise StudyError(f'{path}: rows must be a mapping, got {rows!r}.')
    for name, settings in rows.items():
        where = f'{path}: row {name!r}'
        check_keys(where, settings, set(ROW_KEYS))
        if not settings.get('config'):
            raise StudyError(f'{where} has no config.')
        shared = {**content, **settings}
        options = _merge_options(
            where, content.get('options'), settings.get('options')
        )
        title = get_text(where, settings, 'title', name)
        variants = settings.get('variants') or {'': {}}
        check_keys(f'{where}: variants', variants, None)
        for variant, more in variants.items():
            full = f'{name}/{variant}' if variant else str(name)
            where = f'{path}: row {full!r}'
            if not NAME.fullmatch(full):
                raise StudyError(
                    f'{where}: a name is a folder too. Expected letters, '
                    'digits, dots, dashes and underscores.'
                )
            checkpoint = get_file(where, path.parent, settings, 'checkpoint')
            seeds = get_seeds(where, shared.get('seeds'))
            yield Row(
                name=full,
                title=f'{title}, {variant}' if variant else title,
                config=get_text(where, settings, 'config'),
                seeds=seeds[:1] if checkpoint else seeds,
                length=_length(where, shared.get('length', 1.0)),
                options=_merge_options(where, options, more),
                metrics=_metrics(where, shared['metrics']),
                scored=get_bool(where, settings, 'scored', True),
                checkpoint=checkpoint,
            )


def _merge_options(where: str, *several: Any) -> dict[str, Any]:
    """Merge options; later ones override earlier ones."""
    merged: dict[str, Any] = {}
    for options in several:
        if options is None:
            continue
        if not isinstance(options, dict) or any(
            isinstance(value, dict) for value in options.values()
        ):
            raise StudyError(
                f'{where}: options must map dotted keys to values, such as '
                f'train_cfg.max_iters: 1000, got {options!r}.'
            )
        merged |= {str(key): value for key, value in options.items()}
    for key, value in merged.items():
        if not isinstance(value, str) and REFERENCE.search(str(value)):
            raise StudyError(
                f'{where}: option {key} has ${{...}} inside a list, where it '
                'is not filled in. Give it an option of its own.'
            )
    return merged


def _length(where: str, value: Any) -> float:
    number = type(value) in (int, float)
    if number and 0 < value < float('inf'):
        return float(value)
    raise StudyError(
        f'{where}: length must be a number above 0, a factor on the '
        f"config's iterations, got {value!r}."
    )


def _check_needs(
    path: Path, row: Row, rows: dict[str, Row], above: tuple[str, ...] = ()
) -> None:
    """Check that referenced rows exist and form no cycle."""
    if row.name in above:
        circle = ' -> '.join((*above, row.name))
        raise StudyError(
            f'{path}: rows wait for the checkpoints of each other: {circle}.'
        )
    for name in row.needs():
        if name not in rows:
            raise StudyError(
                f'{path}: row {row.name!r} names ${{{name}}}, which is no '
                f'row. Expected one of {", ".join(rows)}.'
            )
        missing = set(row.seeds) - set(rows[name].seeds)
        if missing and len(rows[name].seeds) > 1:
            raise StudyError(
                f'{path}: row {row.name!r} has the seeds {sorted(missing)}, '
                f'which ${{{name}}} lacks. Give that row one seed, or all.'
            )
        _check_needs(path, rows[name], rows, (*above, row.name))
