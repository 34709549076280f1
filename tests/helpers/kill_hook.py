"""A hook that kills its training; a config names it by custom_imports."""

import os
import signal
from contextlib import contextmanager

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS, OPTIM_WRAPPERS

from mmdistill_dense.hooks import checkpoint_files


@HOOKS.register_module(force=True)
class KillHook(Hook):
    """SIGKILL after an iteration, or while a file is being saved.

    Args:
        iteration: Iterations after which the process is killed.
        save: Number of saved files, each checkpoint and each
            ``last_checkpoint``, after which the next is cut at its half.
        rank: Process that is killed; its launcher ends the others.
    """

    priority = 'HIGHEST'

    def __init__(self, iteration=None, save=None, rank=0):
        self.iteration = iteration
        self.save = save
        self.rank = rank

    def before_train(self, runner):
        if self.save is None or get_rank() != self.rank:
            return
        saved, fsync = [], os.fsync

        def cut(number):
            if len(saved) == self.save:
                os.ftruncate(number, os.fstat(number).st_size // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            saved.append(number)
            fsync(number)

        checkpoint_files.os.fsync = cut

    def before_train_iter(self, runner, *args, **kwargs):
        if runner.iter == self.iteration and get_rank() == self.rank:
            os.kill(os.getpid(), signal.SIGKILL)


@OPTIM_WRAPPERS.register_module(force=True)
class CpuBf16Wrapper(OptimWrapper):
    """Autocast to bfloat16 on a CPU, which MMEngine's wrapper refuses."""

    @contextmanager
    def optim_context(self, model):
        autocast = torch.autocast('cpu', torch.bfloat16)
        with super().optim_context(model), autocast:
            yield
