"""A model of one weight, and its Runner."""

import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset


class Toy(BaseModel):
    """Its losses are functions of the iteration.

    Args:
        losses: Functions of the iteration that return a factor.
    """

    def __init__(self, **losses):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.losses = losses
        self.calls = 0

    def forward(self, inputs, mode='tensor'):
        self.calls += 1
        return {
            name: self.weight * factor(self.calls)
            for name, factor in self.losses.items()
        }


class Numbers(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return dict(inputs=torch.tensor([float(index)]))


def runner(folder, model, hooks=(), iters=8, checkpoint=None, **settings):
    """A Runner of iterations, which logs each second one."""
    default = dict(
        logger=dict(type='LoggerHook', interval=2),
        checkpoint=checkpoint and dict(by_epoch=False, **checkpoint),
    )
    return Runner(
        model=model,
        work_dir=str(folder),
        train_dataloader=dict(
            batch_size=1,
            dataset=Numbers(),
            sampler=dict(type='InfiniteSampler'),
        ),
        train_cfg=dict(by_epoch=False, max_iters=iters),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        default_hooks=default,
        custom_hooks=list(hooks),
        log_level='WARNING',
        log_processor=dict(by_epoch=False),
        experiment_name=folder.name,
        **settings,
    )


def printed(capsys, part):
    """Lines of the log with a part, which the Runner's logger prints."""
    lines = capsys.readouterr().out.splitlines()
    return [line for line in lines if part in line]
