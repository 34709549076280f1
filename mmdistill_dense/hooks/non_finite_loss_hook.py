"""Stops a training whose losses have become infinite or NaN."""

import logging
from typing import Any

import numpy as np
from mmengine.hooks import Hook, LoggerHook
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmdistill_dense.functional.checks import check_int
from mmdistill_dense.registry import HOOKS


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Stop when a loss is no longer finite, and say which one and when.

    It looks every ``interval`` iterations at the values that MMEngine has
    logged since, so it waits for no device; and before the checkpoint of that
    iteration is saved.

    Args:
        interval: Iterations between two looks; default: that of the
            ``LoggerHook``.
        stop: Whether to stop; else a warning is logged once for each loss.

    Raises:
        ValueError: If ``interval`` is not an integer >= 1.
        RuntimeError: While training, if a loss is inf or NaN.
    """

    priority = 'LOW'  # after the logger, before the checkpoint

    def __init__(self, interval: int | None = None, stop: bool = True) -> None:
        if interval is not None:
            check_int('NonFiniteLossHook: interval', interval, 1)
        self.interval = interval
        self.stop = stop
        self._warned: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        if self.interval is None:
            logged = [
                hook.interval
                for hook in runner.hooks
                if isinstance(hook, LoggerHook)
            ]
            self.interval = max(1, min(logged, default=10))

    def after_train_iter(self, runner: Runner, *args: Any, **kw: Any) -> None:
        last = self.is_last_train_iter(runner)
        if not last and not self.every_n_train_iters(runner, self.interval):
            return
        found = {}
        for key, history in runner.message_hub.log_scalars.items():
            split, _, name = key.partition('/')
            if split == 'train' and 'loss' in name:
                values = np.asarray(history.data[0], dtype=float)
                bad = np.flatnonzero(~np.isfinite(values[-self.interval :]))
                if len(bad) and name not in self._warned:
                    found[name] = (int(bad[0]), values)
        if not found:
            return
        # The sum of all losses is named only if it is the only one.
        name = min(found, key=lambda key: (found[key][0], key == 'loss'))
        text = self._describe(runner, name, found[name][1])
        if self.stop:
            raise RuntimeError(text)
        self._warned.update(found)
        print_log(text, logger='current', level=logging.WARNING)

    def _describe(self, runner: Runner, name: str, values: np.ndarray) -> str:
        recent = values[-self.interval :]
        first = int(np.flatnonzero(~np.isfinite(recent))[0])
        iteration = runner.iter + 1 - (len(recent) - 1 - first)
        before = values[: len(values) - len(recent) + first]
        before = before[np.isfinite(before)]
        last = (
            f'its last finite value was {before[-1]:.4g}'
            if len(before)
            else 'it never was finite'
        )
        saved = runner.message_hub.runtime_info.get('last_ckpt')
        return (
            f'the loss {name!r} is {recent[first]} since iteration '
            f'{iteration}; {last}. Usual cause: a learning rate or '
            'loss_weight that is too high, or fp16 overflow (use bf16). '
            + (
                f'The last checkpoint is {saved}. '
                if saved
                else 'No checkpoint was saved yet. '
            )
            + (
                'To go on nonetheless: custom_hooks=[dict(type='
                "'mmdistill_dense.NonFiniteLossHook', stop=False)]."
                if self.stop
                else 'The training goes on, as stop=False.'
            )
        )
