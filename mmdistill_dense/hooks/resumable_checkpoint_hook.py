"""Saves checkpoints from which a killed training goes on bit for bit."""

import os.path as osp
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.dist import get_rank, get_world_size, is_main_process
from mmengine.fileio import LocalBackend
from mmengine.hooks import CheckpointHook
from mmengine.runner import EpochBasedTrainLoop, Runner

from mmdistill_dense.registry import HOOKS

from . import resume_state
from .checkpoint_files import (
    ATOMIC_BACKEND,
    POINTER,
    AtomicLocalBackend,
    DeferredRemoval,
    check_resumable,
)

#: Key of the processes' states in a checkpoint.
STATE_KEY = 'process_states'


@HOOKS.register_module()
class ResumableCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, whose checkpoints lose nothing.

    - A local checkpoint is written beside its place and renamed, then
      ``last_checkpoint`` names it, and only then the one before is removed. On
      other file backends the order is the same, and a file is as whole as
      their ``put`` leaves it.
    - A checkpoint also has what MMEngine leaves out, for each process: the
      random generators, buffers that differ, and gradients that are being
      accumulated. On the CPU a resumed training ends as one that was not
      interrupted, bit for bit.
    - Validation leaves the generators as they were, and the workers of a data
      loader are seeded anew in each epoch; persistent workers are started
      again for it.
    - Before a training is resumed, its checkpoint is read; a corrupt one is
      named with the newest whole one. If a validation was due after it, it is
      run again.

    Args:
        **kwargs: Arguments of MMEngine's ``CheckpointHook``.

    Raises:
        ValueError: If the checkpoint to resume from is corrupt or missing.
        OSError: If a checkpoint cannot be saved.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._states: list[dict] | None = None
        self._before_val: dict | None = None
        self._first_seed: int | None = None
        self._seed_worker: Any = None

    def before_run(self, runner: Runner) -> None:
        """Check the checkpoint that the training would resume from."""
        self._first_seed = runner.seed
        if runner._resume:
            check_resumable(Path(runner.work_dir), runner._load_from)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if runner._resume:
            self._states = checkpoint.get(STATE_KEY, [])

    def before_train(self, runner: Runner) -> None:
        super().before_train(runner)
        local = type(self.file_backend) is LocalBackend
        if local and self.file_client_args is None:
            self.backend_args = dict(backend=ATOMIC_BACKEND)
            self.file_backend = AtomicLocalBackend()
        if runner.seed != self._first_seed:
            _rebuild_loader(runner)  # it has the seed of this start
        self._seed_worker = runner.train_dataloader.worker_init_fn
        states, self._states = self._states, None
        if states is not None:
            self._restore(runner, states)
            if states and not states[0]['validated']:
                resume_state.validate_if_due(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed the workers of this epoch, by their rank, index and epoch."""
        loader = runner.train_dataloader
        if not isinstance(runner.train_loop, EpochBasedTrainLoop):
            return
        resume_state.drop_workers(loader)
        if runner.epoch > 0:  # the first one is MMEngine's own
            loader.worker_init_fn = partial(
                resume_state.seed_worker,
                first=self._seed_worker,
                seed=runner.seed,
                rank=get_rank(),
                epoch=runner.epoch,
            )

    def before_val(self, runner: Runner) -> None:
        self._before_val = resume_state.generator_states()

    def after_val(self, runner: Runner) -> None:
        if self._before_val is not None:
            resume_state.set_generators(self._before_val)
            self._before_val = None

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        if self._states is not None:  # not for the best one
            checkpoint[STATE_KEY] = self._states

    def _restore(self, runner: Runner, states: list[dict]) -> None:
        """Restore the state of this process, once its data have advanced."""
        if len(states) != get_world_size():
            runner.logger.warning(
                'Resumed, but not bit for bit as if it had not been '
                'interrupted: '
                + (
                    f'the checkpoint has the random states of {len(states)} '
                    f'processes, and this training has {get_world_size()}.'
                    if states
                    else 'the checkpoint has no random states, as it was not '
                    'saved by mmdistill_dense.ResumableCheckpointHook.'
                )
            )
            return
        state = states[get_rank()]
        _warn_of_other_data(runner, state)
        resume_state.restore_tensors(runner, state)
        restore = partial(resume_state.set_generators, state['generators'])
        loop = runner.train_loop
        if hasattr(loop, 'dataloader_iterator'):
            # MMEngine draws the batches of all earlier iterations again.
            loop.dataloader_iterator = resume_state.ActBeforeItem(
                loop.dataloader_iterator, runner.iter, restore
            )
        else:
            restore()

    def _save_checkpoint_with_step(
        self, runner: Runner, step: int, meta: dict
    ) -> None:
        """Save, then point to it, then remove those before it."""
        if self.max_keep_ckpts > 0:
            kept = list(self.keep_ckpt_ids)
            kept += [step] if step not in kept[-1:] else []
            # A training that is killed before the removal does it on resume.
            runner.message_hub.update_info('keep_ckpt_ids', kept)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        generators = self._before_val or resume_state.generator_states()
        self._states = resume_state.gather_states(
            runner, generators, validated=self._before_val is not None
        )
        try:
            runner.save_checkpoint(
                self.out_dir,
                name,
                self.file_client_args,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
        finally:
            self._states = None
        if is_main_process():
            pointer = osp.join(runner.work_dir, POINTER)
            AtomicLocalBackend().put_text(self.last_ckpt, pointer)
        if self.max_keep_ckpts > 0:
            for old in kept[: -self.max_keep_ckpts]:
                self._remove(self.filename_tmpl.format(old))
            self.keep_ckpt_ids = deque(
                kept[-self.max_keep_ckpts :], self.max_keep_ckpts
            )

    def _remove(self, name: str) -> None:
        path = self.file_backend.join_path(self.out_dir, name)
        if is_main_process() and self.file_backend.isfile(path):
            self.file_backend.remove(path)
        elif is_main_process() and self.file_backend.isdir(path):
            self.file_backend.rmtree(path)  # of DeepSpeed

    def _save_best_checkpoint(self, runner: Runner, metrics: dict) -> None:
        """Save, then remove the best one before it."""
        backend, later = self.file_backend, DeferredRemoval(self.file_backend)
        self.file_backend = later
        try:
            super()._save_best_checkpoint(runner, metrics)
        finally:
            self.file_backend = backend
        current = [getattr(self, 'best_ckpt_path', None)]
        current += getattr(self, 'best_ckpt_path_dict', {}).values()
        later.remove_all_but(current)


def _rebuild_loader(runner: Runner) -> None:
    """Build the training data again, with the seed of the checkpoint."""
    loop, cfg = runner.train_loop, runner._train_dataloader
    if not isinstance(cfg, dict):
        return  # a loader that the caller has built
    loop.dataloader = runner.build_dataloader(
        cfg,
        seed=runner.seed,
        diff_rank_seed=runner._randomness_cfg.get('diff_rank_seed', False),
    )
    if hasattr(loop, 'dataloader_iterator'):
        loop.dataloader_iterator = type(loop.dataloader_iterator)(
            loop.dataloader
        )


def _warn_of_other_data(runner: Runner, state: dict) -> None:
    """Warn where the data would be drawn in another way."""
    workers = runner.train_dataloader.num_workers
    reason = None
    if workers != state['workers']:
        reason = (
            f'num_workers was {state["workers"]} and is {workers}, and each '
            'worker has its own random generators'
        )
    loop = runner.train_loop
    if isinstance(loop, EpochBasedTrainLoop) and runner.iter != (
        runner.epoch * len(loop.dataloader)
    ):
        reason = 'MMEngine begins the epoch again that was interrupted'
    if reason:
        runner.logger.warning(
            'Resumed, but not bit for bit as if it had not been interrupted: '
            f'{reason}.'
        )
