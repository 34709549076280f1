"""From the rows of a study to the trainings that make it."""

import re
from dataclasses import dataclass

from mmengine.config import Config

from mmdistill_dense.compat import config_path
from mmdistill_dense.engine.trainings.runs import Run
from mmdistill_dense.engine.trainings.schedule import length_options

from . import StudyError
from .definition import REFERENCE, Row, Study


@dataclass(frozen=True)
class Entry:
    """One value of a table: a row with a seed, and its training."""

    row: Row
    seed: int
    run: Run


def plan_study(study: Study) -> list[Entry]:
    """All trainings of a study, those that others wait for first.

    Seed by seed, so that an unfinished study has whole seeds.

    Raises:
        StudyError: If a config is missing or an option cannot be passed on.
    """
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
    """The entry of a row, after those that it waits for."""
    if (row.name, seed) in entries:
        return entries[row.name, seed]
    needed = {}
    for name in row.needs():
        other = study.rows[name]
        its_seed = seed if seed in other.seeds else other.seeds[0]
        needed[name] = _add(study, other, its_seed, entries).run.checkpoint
    cfg = _config(row)
    options = {**_length_options(cfg, row), 'randomness.seed': seed}
    for key, value in row.options.items():
        if isinstance(value, str):
            value = REFERENCE.sub(lambda m: str(needed[m[1]]), value)
        options[key] = value
    _check_options(row, options)
    unit, length = _end(row, cfg, options)
    entry = Entry(
        row,
        seed,
        Run(
            title=f'{row.title}, seed {seed}',
            config=row.config,
            folder=study.work_dir / row.name / f'seed_{seed}',
            length=length,
            options=options,
            metric=next(iter(study.metrics)),
            after=tuple(needed.values()),
            unit=unit,
        ),
    )
    return entries.setdefault((row.name, seed), entry)


def _config(row: Row) -> Config:
    try:
        return Config.fromfile(config_path(row.config))
    except FileNotFoundError as error:
        raise StudyError(f'row {row.name!r}: {error}') from error


def _length_options(cfg: Config, row: Row) -> dict[str, object]:
    return {} if row.length == 1 else length_options(cfg, row.length)


def _check_options(row: Row, options: dict[str, object]) -> None:
    """Values go through ``--cfg-options``, which splits at some characters."""
    for key, value in options.items():
        found = (
            re.search(r'[\s,\'"\\]', value) if isinstance(value, str) else 0
        )
        if found:
            raise StudyError(
                f'row {row.name!r}: option {key}={value!r} has {found[0]!r} '
                'in it, which --cfg-options does not take in a string. '
                'Write a YAML list for several values, or a config file.'
            )


def _end(row: Row, cfg: Config, options: dict) -> tuple[str, int]:
    """Whether a run counts iterations or epochs, and its last one."""
    for unit, key in (('iter', 'max_iters'), ('epoch', 'max_epochs')):
        value = options.get(f'train_cfg.{key}', cfg.train_cfg.get(key))
        if value:
            return unit, int(value)
    raise StudyError(
        f'row {row.name!r}: {row.config} has neither train_cfg.max_iters nor '
        'train_cfg.max_epochs.'
    )
