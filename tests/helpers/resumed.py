"""A training without interruption, and one that was killed and resumed."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from .tool_runs import TRAIN, run_script

#: Keys of the log that depend on the clock or the machine.
CLOCK = {'time', 'data_time', 'eta', 'memory'}
#: Keys of a checkpoint that depend on the run's name and time.
META = {'time', 'experiment_name', 'cfg', 'mmengine_version'}


@dataclass
class Case:
    """One training that is killed.

    Attributes:
        config: Config below ``mmdistill_dense::``.
        name: Its name in a table.
        options: Lines of Python that follow ``_base_``.
        kills: Arguments of ``KillHook``, one after the other.
        workers: Of the data loader.
        processes: None without a launcher.
        epochs: Whether it counts epochs, of 4 iterations.
    """

    config: str
    name: str
    kills: list
    options: str = ''
    workers: int = 0
    processes: int | None = None
    epochs: bool = False
    iterations: int = 16
    save_every: int = 4

    def write(self, folder, kill=None):
        """Write its config; returns the path."""
        loader = dict(
            batch_size=2,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
        )
        lines = [
            f"_base_ = 'mmdistill_dense::{self.config}'",
            f'train_dataloader = dict(**{loader!r})',
            'param_scheduler = [dict(type="PolyLR", begin=0, end='
            f'{self.iterations}, by_epoch=False)]',
            "custom_imports = dict(imports=['tests.helpers.kill_hook'])",
            'randomness = dict(seed=3)',
            'log_level = "WARNING"',
        ]
        if self.epochs:
            lines += [
                'train_cfg = dict(_delete_=True, type="EpochBasedTrainLoop",'
                f' max_epochs={self.iterations // 4}, val_interval=1)',
                'train_dataloader.update(sampler=dict(_delete_=True, '
                'type="DefaultSampler", shuffle=True),'
                ' num_batch_per_epoch=4)',
                'default_hooks = dict(logger=dict(interval=1), checkpoint='
                'dict(by_epoch=True, interval=1, max_keep_ckpts=1))',
            ]
        else:
            lines += [
                f'train_cfg = dict(max_iters={self.iterations}, '
                f'val_interval={2 * self.save_every})',
                'default_hooks = dict(logger=dict(interval=1), checkpoint='
                f'dict(interval={self.save_every}, max_keep_ckpts=1))',
            ]
        lines.append('custom_hooks = []')
        lines.append(self.options)
        if kill:
            lines.append(
                f'custom_hooks.append(dict(type="KillHook", **{kill!r}))'
            )
        path = Path(folder) / 'config.py'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('\n'.join(lines) + '\n')
        return path

    @property
    def last(self):
        unit = 'epoch' if self.epochs else 'iter'
        return f'{unit}_{self.iterations // (4 if self.epochs else 1)}.pth'

    def train(self, folder, kill=None):
        """Train, or go on; returns exit code and output."""
        return run_script(
            TRAIN,
            self.write(folder, kill),
            '--work-dir',
            folder / 'run',
            '--resume',
            processes=self.processes,
        )


def logged(folder):
    """The values of each step, the last ones where a step was repeated."""
    found = {}
    for path in sorted(Path(folder).glob('*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            kind = 'train' if 'loss' in record else 'val'
            step = record['step']
            found[kind, step] = {
                key: value
                for key, value in record.items()
                if key.rpartition('/')[2] not in CLOCK
            }
    return found


def differences(one, two, path=''):
    """Paths at which two checkpoints differ, bit for bit."""
    if isinstance(one, torch.Tensor):
        same = (
            isinstance(two, torch.Tensor)
            and one.dtype == two.dtype
            and one.shape == two.shape
            and torch.equal(_bits(one), _bits(two))
        )
        return [] if same else [path]
    if isinstance(one, HistoryBuffer):
        same = all(map(np.array_equal, one.data, two.data, (True, True)))
        return [] if same else [path]
    if isinstance(one, dict):
        if set(one) != set(two):
            return [f'{path}: {set(one) ^ set(two)}']
        return [
            place
            for key in one
            if not _is_clock(key)
            for place in differences(one[key], two[key], f'{path}/{key}')
        ]
    if isinstance(one, (list, tuple)):
        if len(one) != len(two):
            return [f'{path}: {len(one)} and {len(two)}']
        return [
            place
            for index, pair in enumerate(zip(one, two, strict=True))
            for place in differences(*pair, f'{path}/{index}')
        ]
    return [] if one == two or one != one else [f'{path}: {one} and {two}']


def _bits(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _is_clock(key):
    name = str(key).rpartition('/')[2]
    return name in CLOCK or key in META or key in ('last_ckpt', 'best_ckpt')
