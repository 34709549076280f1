"""Merge and check the options of a row before it is trained."""

from collections.abc import Mapping
from inspect import signature
from typing import Any

from mmengine.config import Config
from mmengine.runner import Runner

from mmdistill_tools.launch import base_parser

from . import StudyError
from .definition import Row

#: Options that the study sets for each run.
RESERVED_OPTIONS = {
    'launcher',
    'load_from',
    'randomness.seed',
    'resume',
    'work_dir',
}
#: Top-level config keys that are read after the options are merged.
RECOGNISED_KEYS = {
    *signature(Runner.__init__).parameters,
    *('auto_scale_lr', 'find_unused_parameters', 'runner_type'),
}


def merge(row: Row, cfg: Config, options: Mapping[str, Any]) -> None:
    """Merge options into a config as ``tools/train.py`` will.

    Raises:
        StudyError: If an option cannot be passed on, or has no effect.
    """
    for key in row.options:
        _check_key(row, key)
    parsed = {key: _parse_option(row, key, v) for key, v in options.items()}
    try:
        cfg.merge_from_dict(parsed)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise StudyError(
            f'row {row.name!r}: its options do not fit {row.config}: {error}'
        ) from error


def _check_key(row: Row, key: str) -> None:
    where = f'row {row.name!r}: option {key}'
    if key in RESERVED_OPTIONS:
        raise StudyError(
            f'{where} is settled by the study for each run. Leave it out.'
        )
    first = key.partition('.')[0]
    if first not in RECOGNISED_KEYS:
        raise StudyError(
            f'{where} would have no effect: nothing reads {first!r} once the '
            'config is read. Name the place where it is used, such as '
            'train_dataloader.dataset.data_root or model.terms.'
        )


def _parse_option(row: Row, key: str, value: Any) -> Any:
    """The value that ``--cfg-options`` parses."""
    words = ['', '--cfg-options', f'{key}={value}']
    try:
        got = base_parser('').parse_args(words).cfg_options[key]
    except (AssertionError, KeyError):  # brackets or an equals sign
        got = None
    if not _same_value(got, value):
        raise StudyError(
            f'row {row.name!r}: option {key}={value!r} cannot go through '
            f'--cfg-options, which reads {got!r}: a text there has no '
            'spaces, commas, quotes or brackets. Write a YAML list for '
            'several values, or a config file.'
        )
    return got


def _same_value(got: Any, value: Any) -> bool:
    if isinstance(value, list):
        return (
            isinstance(got, list)
            and len(got) == len(value)
            and all(map(_same_value, got, value))
        )
    # YAML reads 1e-3 as a string; a number is meant.
    number = isinstance(value, str) and isinstance(got, (int, float))
    return number or got == value or str(got) == str(value)


def check_trainable(row: Row, cfg: Config) -> None:
    """Check that a config can start without load_from and be validated.

    Raises:
        StudyError: If it cannot.
    """
    if cfg.get('load_from'):
        raise StudyError(
            f'row {row.name!r}: {row.config} has load_from, which runs of a '
            'study do not read, as they are started with --resume. Name the '
            "checkpoint in the model: init_cfg=dict(type='Pretrained', "
            'checkpoint=...).'
        )
    if not row.scored:
        return
    lacking = [
        key for key in ('val_dataloader', 'val_evaluator') if not cfg.get(key)
    ]
    if lacking:
        raise StudyError(
            f'row {row.name!r}: {row.config} has no {" and no ".join(lacking)}'
            ', so that its runs would have no score. If it only prepares '
            'others, say scored: false.'
        )


def run_length(row: Row, cfg: Config) -> tuple[str, int]:
    """Unit (``'iter'`` or ``'epoch'``) and length of a run.

    Raises:
        StudyError: If the config sets no length.
    """
    for unit, key in (('iter', 'max_iters'), ('epoch', 'max_epochs')):
        value = (cfg.get('train_cfg') or {}).get(key)
        if value is None:
            continue
        if isinstance(value, (int, float)) and value >= 1 and value % 1 == 0:
            return unit, int(value)
        raise StudyError(
            f'row {row.name!r}: train_cfg.{key} must be a whole number above '
            f'0, got {value!r}.'
        )
    raise StudyError(
        f'row {row.name!r}: {row.config} has neither train_cfg.max_iters nor '
        'train_cfg.max_epochs.'
    )
