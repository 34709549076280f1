"""Writes the token file that stage 2 reads."""

import os.path as osp

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdistill_dense.registry import HOOKS

from ..utils import bare_model


@HOOKS.register_module()
class TokenFileHook(Hook):
    """Write ``<work_dir>/tokens.pth`` after the training of tokens.

    Checkpoints of that training also record the teacher and the module that
    the tokens were learned on, so stage 2 reads them as well.

    Args:
        file: Name of the file in the work dir.

    Raises:
        TypeError: If the model learns no tokens.
    """

    def __init__(self, file: str = 'tokens.pth') -> None:
        self.file = file

    def before_train(self, runner: Runner) -> None:
        """Refuse a model without tokens before it is trained."""
        model = bare_model(runner)
        if not hasattr(model, 'write_tokens'):
            raise TypeError(
                'TokenFileHook belongs to a MaskTokenLearner, but the model '
                f'is {type(model).__name__}. Remove it from custom_hooks.'
            )

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to resume from tokens of another teacher or module.

        Raises:
            ValueError: If they were learned on another teacher, or at
                another module.
        """
        learner = bare_model(runner)
        learner.load_teacher()
        info = checkpoint.get('info') or {}
        for key, value in learner.info.items():
            if info.get(key, value) != value:
                raise ValueError(
                    f'the checkpoint that {runner.work_dir} would resume from '
                    f'holds tokens of another {key}: {info[key]}, this one '
                    f'is {value}. Remove that folder, or give stage 1 '
                    'another work_dir.'
                )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Record in a checkpoint what its tokens belong to."""
        checkpoint['info'] = bare_model(runner).info

    def after_train(self, runner: Runner) -> None:
        """Write the file, in the first process."""
        if is_main_process():
            path = osp.join(runner.work_dir, self.file)
            bare_model(runner).write_tokens(path)
            runner.logger.info(f'Tokens are written to {path}')
