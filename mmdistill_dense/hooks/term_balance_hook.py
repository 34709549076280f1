"""Logs the share of each term of a distillation in the loss."""

import logging
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmdistill_dense.functional.checks import check_int
from mmdistill_dense.models.utils import bare_model
from mmdistill_dense.registry import HOOKS

#: Shares of the loss below and above which a warning is logged.
LOW_SHARE, HIGH_SHARE = 0.01, 0.90


@HOOKS.register_module()
class TermBalanceHook(Hook):
    """Log each term's share of the loss and its gradient on the student.

    Every ``interval`` iterations it writes ``distill/share_<term>`` (part of
    the whole loss, 0 to 1) and ``distill/grad_norm_<term>`` (L2 norm over
    the student's parameters, connectors left out), and the same of the
    student's own losses as ``task``, into the log and to every
    visualization backend. A warning is logged once for a term under 1 % or
    over 90 % of the loss, unless its schedule reduces it.

    A measured step costs one more backward pass for the task and one for each
    term; training is not changed. Each process measures its own batch, as
    SyncBN needs all processes in a backward pass; the results of the first
    one are logged.

    Args:
        interval: Iterations between two measurements, at least 1.

    Raises:
        ValueError: If ``interval`` is not an integer >= 1, or the model
            is not distilled.
    """

    priority = 'LOW'

    def __init__(self, interval: int = 50) -> None:
        check_int('TermBalanceHook: interval', interval, 1)
        self.interval = interval
        self._warned: dict[str, str] = {}

    def before_train(self, runner: Runner) -> None:
        if not hasattr(bare_model(runner), 'distill'):
            raise ValueError(
                f'TermBalanceHook: {type(bare_model(runner)).__name__} is not '
                'distilled, so it has no terms. Remove the hook from '
                "custom_hooks, or build the model with type='mmdistill_dense."
                "DenseDistiller'."
            )

    def before_train_iter(self, runner: Runner, *args: Any, **kw: Any) -> None:
        if self.every_n_train_iters(runner, self.interval):
            scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
            scale = scaler.get_scale() if scaler else 1.0
            bare_model(runner).distill.balance.request(scale)

    def after_train_iter(self, runner: Runner, *args: Any, **kw: Any) -> None:
        balance = bare_model(runner).distill.balance.take()
        if balance is None or not is_main_process():
            return
        scalars = {f'distill/share_{k}': v for k, v in balance.shares.items()}
        for name, norm in balance.norms.items():
            scalars[f'distill/grad_norm_{name}'] = norm
        runner.visualizer.add_scalars(scalars, step=runner.iter + 1)
        runner.logger.info(_format_shares(balance))
        for name, factor in balance.factors.items():
            self._warn_if_extreme(name, balance, factor)

    def _warn_if_extreme(self, name: str, balance: Any, factor: float) -> None:
        """Warn when a share leaves the limits, but not while it is outside."""
        share = balance.shares[name]
        low, high = share < LOW_SHARE, share > HIGH_SHARE
        side = 'low' if low else 'high' if high else ''
        if factor < 1:
            return  # the schedule reduces it
        if side and self._warned.get(name) != side:
            text = _warning_text(name, side, balance)
            print_log(text, logger='current', level=logging.WARNING)
        self._warned[name] = side


def _format_shares(balance: Any) -> str:
    parts = []
    for name, share in balance.shares.items():
        norm = balance.norms.get(name)
        gradient = '' if norm is None else f' (gradient norm {norm:.3g})'
        parts.append(f'{name} {share:.1%}{gradient}')
    line = f'Share of the loss: {", ".join(parts)}'
    if not balance.norms:
        line += ' (no gradient norms under re-entrant checkpointing, with_cp)'
    return line


def _warning_text(name: str, side: str, balance: Any) -> str:
    low = side == 'low'
    limit = LOW_SHARE if low else HIGH_SHARE
    ratio = ''
    if balance.norms.get('task'):
        times = balance.norms[name] / balance.norms['task']
        ratio = f'; its gradient is {times:.2g} times that of the task'
    return (
        f'term {name!r} is {balance.shares[name]:.2%} of the loss, '
        f'{"under" if low else "over"} {limit:.0%}{ratio}. '
        + (
            'The student will hardly learn from its teacher: raise '
            if low
            else 'The student will hardly learn its task: lower '
        )
        + f'model.terms.{name}.loss.loss_weight, or check with '
        'tools/inspect_distiller.py that the modules are those you meant.'
    )
