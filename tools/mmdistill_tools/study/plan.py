"""Plan the trainings of a study from its rows."""

from copy import deepcopy
from dataclasses import dataclass
from functools import cache

from mmengine.config import Config

from mmdistill_dense.compat import config_path
from mmdistill_tools.runs.run import Run
from mmdistill_tools.runs.schedule import length_options

from . import StudyError
from .definition import REFERENCE, Row, Study
from .options import check_trainable, merge, run_length


@dataclass(frozen=True)
class Entry:
    """A row with a seed, and its training."""

    row: Row
    seed: int
    run: Run


def plan_study(study: Study) -> list[Entry]:
    """All trainings of a study, dependencies first.

    They are ordered by seed, so that an unfinished study has complete seeds.

    Raises:
        StudyError: If a config is missing or cannot be used, or an option
            cannot be passed on.
    """
    _read.cache_clear()
    entries: dict[tuple[str, int], Entry] = {}
    seeds = sorted({seed for row in study.rows.values() for seed in row.seeds})
    for seed in seeds:
        for row in study.rows.values():
            if seed in row.seeds:
                _add(study, row, seed, entries)
    return list(entries.values())


def _add(
    study: Study, row: Row, seed: int, entries: dict[tuple[str, int], Entry]
) -> Entry:
    """Add the entry of a row, after those that it depends on."""
    if (row.name, seed) in entries:
        return entries[row.name, seed]
    needed = {}
    for name in row.needs():
        other = study.rows[name]
        its_seed = seed if seed in other.seeds else other.seeds[0]
        needed[name] = _add(study, other, its_seed, entries).run.checkpoint
    cfg = _config(row)
    options = _study_options(cfg, row, seed)
    for key, value in row.options.items():
        if not row.scored and key.startswith('val_'):
            continue  # meant for rows that are validated
        if isinstance(value, str):
            value = REFERENCE.sub(lambda m: str(needed[m[1]]), value)
        options[key] = value
    merge(row, cfg, options)
    check_trainable(row, cfg)
    unit, length = run_length(row, cfg)
    entry = Entry(
        row,
        seed,
        Run(
            title=f'{row.title}, seed {seed}',
            config=row.config,
            folder=study.work_dir / row.name / f'seed_{seed}',
            length=length,
            options=options,
            metric=next(iter(row.metrics)),
            after=tuple(needed.values()),
            unit=unit,
            pretrained_checkpoint=row.checkpoint,
        ),
    )
    return entries.setdefault((row.name, seed), entry)


def _config(row: Row) -> Config:
    try:
        return deepcopy(_read(row.config))
    except FileNotFoundError as error:
        raise StudyError(f'row {row.name!r}: {error}') from error


@cache
def _read(config: str) -> Config:
    """Read a config; cached for all seeds, as the lookup is slow."""
    return Config.fromfile(config_path(config))


def _study_options(cfg: Config, row: Row, seed: int) -> dict[str, object]:
    """Options that the study sets for each run; none for a finished model."""
    if row.checkpoint:
        return {}
    if row.length == 1:
        return {'randomness.seed': seed}
    if 'train_cfg.max_iters' in row.options:
        raise StudyError(
            f'row {row.name!r} has a length and the option '
            'train_cfg.max_iters. Give one of them.'
        )
    return {**length_options(cfg, row.length), 'randomness.seed': seed}
