"""Validation of a teacher with and without its masks."""

from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.runner import ValLoop

from mmdistill_dense.registry import LOOPS


@LOOPS.register_module()
class MaskedTeacherValLoop(ValLoop):
    """Validate the masked and the plain teacher of ``MaskTokenLearner``.

    Scores are logged as ``masked/<key>`` and ``plain/<key>``. The plain
    teacher never changes, so it is run in the first validation of a process
    only.

    Args:
        *args: Those of ``mmengine.runner.ValLoop``.
        **kwargs: Likewise.

    Raises:
        TypeError: If the model has no masks to switch off.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._plain: dict[str, Any] = {}

    def run(self) -> dict:
        """Validate; returns the scores of both."""
        runner = self.runner
        learner = runner.model
        if is_model_wrapper(learner):
            learner = learner.module
        if not hasattr(learner, 'masking'):
            raise TypeError(
                'MaskedTeacherValLoop validates a MaskTokenLearner, but the '
                f'model is {type(learner).__name__}. Remove val_cfg.type, or '
                "set it to 'ValLoop'."
            )
        runner.call_hook('before_val')
        runner.call_hook('before_val_epoch')
        runner.model.eval()
        metrics = self._scores('masked')
        if not self._plain:
            with learner.masking(False):
                self._plain = self._scores('plain')
        metrics |= self._plain
        runner.call_hook('after_val_epoch', metrics=metrics)
        runner.call_hook('after_val')
        return metrics

    def _scores(self, name: str) -> dict[str, Any]:
        """One pass through the validation set."""
        for index, batch in enumerate(self.dataloader):
            self.run_iter(index, batch)
        scores = self.evaluator.evaluate(len(self.dataloader.dataset))
        return {f'{name}/{key}': value for key, value in scores.items()}
