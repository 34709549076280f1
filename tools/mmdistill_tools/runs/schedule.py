"""Scale the schedule of a config."""

from collections.abc import Callable, Mapping

from mmengine.config import Config

from . import TrainingError

#: Keys of a scheduler whose values are iterations.
ITERATION_KEYS = (
    'begin',
    'end',
    'T_max',
    'milestones',
    'step_size',
    'total_steps',
)
#: MMEngine's default.
DEFAULT_VAL_INTERVAL = 1000


def length_options(cfg: Config, factor: float) -> dict[str, object]:
    """Options that make a config's schedule ``factor`` times as long.

    The learning rate curve is scaled with it.

    Args:
        cfg: A config that counts iterations.
        factor: Above 0.

    Raises:
        TrainingError: If the config counts epochs.
    """
    if 'max_iters' not in cfg.train_cfg:
        raise TrainingError(
            f'{cfg.filename} counts epochs; a factor on its length is for '
            'configs with train_cfg.max_iters. Set train_cfg.max_epochs and '
            'the ends of param_scheduler among the options instead.'
        )
    last = cfg.train_cfg.max_iters
    interval = min(
        cfg.train_cfg.get('val_interval', DEFAULT_VAL_INTERVAL), last
    )

    def scaled(iterations: int) -> int:
        return max(2, round(iterations * factor))

    every = scaled(interval)
    # After rounding the last iteration must still be validated.
    total = scaled(last) if last % interval else every * (last // interval)
    options = {
        'train_cfg.max_iters': total,
        'train_cfg.val_interval': every,
        'default_hooks.checkpoint.interval': every,
    }
    schedulers = cfg.get('param_scheduler') or []
    for place, scheduler in _by_key(schedulers).items():
        for key, value in _scaled_entries(
            scheduler, lambda i: total if i == last else scaled(i)
        ).items():
            options[f'{place}.{key}'] = value
    return options


def _by_key(schedulers: Mapping | list) -> dict[str, Mapping]:
    """Schedulers by config key; the config may have a single one."""
    if isinstance(schedulers, Mapping):
        return {'param_scheduler': schedulers}
    return {f'param_scheduler.{i}': s for i, s in enumerate(schedulers)}


def _scaled_entries(scheduler: Mapping, scaled: Callable[[int], int]) -> dict:
    """Scaled iterations of a scheduler, by key."""
    found = {
        key: scheduler[key] for key in ITERATION_KEYS if scheduler.get(key)
    }
    return {
        key: [scaled(i) for i in value]
        if isinstance(value, (list, tuple))
        else scaled(value)
        for key, value in found.items()
    }
