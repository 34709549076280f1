"""Schedules of every form keep their course."""

import pytest
from mmengine.config import Config

from mmdistill_tools.runs import TrainingError
from mmdistill_tools.runs.schedule import length_options


def config(iters=1000, interval=100, scheduler=()):
    loop = dict(max_iters=iters)
    if interval:
        loop['val_interval'] = interval
    return Config(dict(train_cfg=loop, param_scheduler=scheduler))


@pytest.mark.parametrize(
    ('iters', 'interval', 'total', 'every'),
    [
        (1000, 100, 500, 50),
        (1000, 300, 500, 150),  # not a multiple: the length is kept
        (100, 1000, 50, 50),  # longer than the run
        (3000, None, 1500, 500),  # MMEngine's own
    ],
)
def test_the_length_is_scaled(iters, interval, total, every):
    options = length_options(config(iters, interval), 0.5)
    assert options == {
        'train_cfg.max_iters': total,
        'train_cfg.val_interval': every,
        'default_hooks.checkpoint.interval': every,
    }


def test_every_time_of_a_scheduler_is_scaled():
    several = [
        dict(type='LinearLR', begin=0, end=100, start_factor=0.1),
        dict(type='MultiStepLR', milestones=[600, 1000], gamma=0.1),
        dict(type='CosineAnnealingLR', begin=100, end=1000, T_max=900),
    ]
    options = length_options(config(scheduler=several), 3)
    found = {k: v for k, v in options.items() if 'scheduler' in k}
    assert found == {
        'param_scheduler.0.end': 300,
        'param_scheduler.1.milestones': [1800, 3000],
        'param_scheduler.2.begin': 300,
        'param_scheduler.2.end': 3000,
        'param_scheduler.2.T_max': 2700,
    }


def test_the_last_scheduler_ends_with_the_run():
    options = length_options(config(900, 300, [dict(end=900)]), 0.335)
    assert options['train_cfg.max_iters'] == 300
    assert options['param_scheduler.0.end'] == 300


def test_a_scheduler_may_stand_alone():
    options = length_options(config(scheduler=dict(end=1000)), 2)
    assert options['param_scheduler.end'] == 2000


def test_epochs_are_refused():
    cfg = Config(dict(train_cfg=dict(max_epochs=12)))
    with pytest.raises(TrainingError, match='counts epochs; a factor on'):
        length_options(cfg, 0.5)
