"""A config's schedule, longer or shorter."""

from mmengine.config import Config

from . import TrainingError


def length_options(cfg: Config, factor: float) -> dict[str, object]:
    """What makes a config's schedule ``factor`` times as long.

    The learning rate has the same course over it.

    Args:
        cfg: A config that counts iterations.
        factor: Above 0.

    Raises:
        TrainingError: If it counts epochs.
    """
    if 'max_iters' not in cfg.train_cfg:
        raise TrainingError(
            f'{cfg.filename} counts epochs; a factor on its length is for '
            'configs with train_cfg.max_iters. Set train_cfg.max_epochs and '
            'the ends of param_scheduler among the options instead.'
        )

    def scaled(iterations: int) -> int:
        return max(2, round(iterations * factor))

    every = scaled(cfg.train_cfg.val_interval)
    total = every * (cfg.train_cfg.max_iters // cfg.train_cfg.val_interval)
    options = {
        'train_cfg.max_iters': total,
        'train_cfg.val_interval': every,
        'default_hooks.checkpoint.interval': every,
    }
    for index, scheduler in enumerate(cfg.param_scheduler):
        for key in ('begin', 'end'):
            last = scheduler[key] == cfg.train_cfg.max_iters
            if scheduler[key]:
                value = total if last else scaled(scheduler[key])
                options[f'param_scheduler.{index}.{key}'] = value
    return options
