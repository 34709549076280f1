"""Contenders must train the same thing, or their times mean nothing."""

from collections.abc import Sequence
from contextlib import nullcontext
from math import isclose

from mmdistill_dense.models.utils import evaluated

from . import BenchmarkError
from .contenders import Contender
from .precision import float32_products

#: Relative difference of losses, and of the distillation loss of a teacher
#: whose switches change its numbers.
EXACT, SWITCHED = 1e-3, 0.05
#: What a teacher on a stream of its own changes: nothing.
STREAM = ', stream=True'
NOT_COMPARED = 'they do not train the same, nothing is compared'


def check_agreement(
    contenders: Sequence[Contender],
) -> dict[str, dict[str, float]]:
    """Compare the losses of the first step, in full precision.

    The student's own ones must be those of the stock student, by name; the
    distillation loss must be that of ``ours``. A peer's teacher is in eval
    mode for it, dropout included.

    Returns:
        The losses of each contender, ``distillation`` among them.

    Raises:
        BenchmarkError: If some differ.
    """
    found = {}
    for one in contenders:
        # That of ``ours``, in eval mode as ever, is no child of the model.
        teacher = getattr(one.model, 'teacher', None)
        in_eval = nullcontext() if teacher is None else evaluated(teacher)
        with in_eval, float32_products('fp32'):
            found[one.name] = one.losses()
    stock, _ = found['student']
    _, distilled = found['ours']
    for name, (task, distillation) in found.items():
        if task.keys() != stock.keys():
            raise BenchmarkError(
                f'{name} has the losses {sorted(task)}, the stock student has '
                f'{sorted(stock)}: {NOT_COMPARED}.'
            )
        for key, value in task.items():
            _compare(name, key, value, stock[key], EXACT)
        if name not in ('student', 'floor'):
            loose = SWITCHED if name.startswith('ours,') else EXACT
            _compare(name, 'distillation', distillation, distilled, loose)
        if name.endswith(STREAM) and name.removesuffix(STREAM) in found:
            _, beside = found[name.removesuffix(STREAM)]
            _compare(name, 'distillation', distillation, beside, 1e-4)
    return {
        name: {**task, 'distillation': distillation}
        for name, (task, distillation) in found.items()
    }


def _compare(
    name: str, key: str, value: float, expected: float, tolerance: float
) -> None:
    if not isclose(value, expected, rel_tol=tolerance, abs_tol=1e-6):
        raise BenchmarkError(
            f'{name}: {key} is {value:.6g} in the first step, expected '
            f'{expected:.6g} to {tolerance:g}: {NOT_COMPARED}.'
        )
