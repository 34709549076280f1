"""Validation and test loops for a teacher with and without masks."""

from typing import Any

from mmengine.runner import TestLoop, ValLoop

from mmdistill_dense.registry import LOOPS

from ..utils import bare_model


class _BothTeachers:
    """Evaluates the masked and the plain teacher; mixed into a loop."""

    #: Mode in the names of this loop's hooks: 'val' or 'test'.
    mode = ''

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._plain: dict[str, Any] = {}

    def run(self) -> dict:
        """Evaluate both; returns ``masked/<key>`` and ``plain/<key>``.

        Raises:
            TypeError: If the model has no masks to switch off.
        """
        runner = self.runner
        learner = bare_model(runner)
        if not hasattr(learner, 'set_masking'):
            raise TypeError(
                f'{type(self).__name__} scores a MaskTokenLearner, but the '
                f'model is {type(learner).__name__}. Take {self.mode}_cfg '
                f"with type='{self.mode.title()}Loop'."
            )
        runner.call_hook(f'before_{self.mode}')
        runner.call_hook(f'before_{self.mode}_epoch')
        runner.model.eval()
        metrics = self._scores('masked')
        if not self._plain:
            with learner.set_masking(False):
                self._plain = self._scores('plain')
        metrics |= self._plain
        runner.call_hook(f'after_{self.mode}_epoch', metrics=metrics)
        runner.call_hook(f'after_{self.mode}')
        return metrics

    def _scores(self, name: str) -> dict[str, Any]:
        """One pass through the data."""
        for index, batch in enumerate(self.dataloader):
            self.run_iter(index, batch)
        scores = self.evaluator.evaluate(len(self.dataloader.dataset))
        return {f'{name}/{key}': value for key, value in scores.items()}


@LOOPS.register_module()
class MaskedTeacherValLoop(_BothTeachers, ValLoop):
    """Validate the masked and the plain teacher of ``MaskTokenLearner``.

    Scores are logged as ``masked/<key>`` and ``plain/<key>``. The plain
    teacher never changes, so only the first validation of a process runs it.

    Args:
        *args: Those of ``mmengine.runner.ValLoop``.
        **kwargs: Those of ``mmengine.runner.ValLoop``.
    """

    mode = 'val'


@LOOPS.register_module()
class MaskedTeacherTestLoop(_BothTeachers, TestLoop):
    """Test the masked and the plain teacher of ``MaskTokenLearner``.

    ``tools/test.py`` runs it. Scores are logged as in
    :class:`MaskedTeacherValLoop`.

    Args:
        *args: Those of ``mmengine.runner.TestLoop``.
        **kwargs: Those of ``mmengine.runner.TestLoop``.
    """

    mode = 'test'
