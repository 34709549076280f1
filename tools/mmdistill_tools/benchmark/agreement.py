"""Check that all contenders compute the same losses."""

from collections.abc import Sequence
from contextlib import nullcontext
from math import isclose

from mmdistill_dense.models.utils import eval_mode

from . import BenchmarkError
from .arguments import PACKAGE
from .contenders import Contender
from .precision import float32_products

#: Relative tolerance of losses, and of the distillation loss of a teacher
#: whose switches change its output.
TOLERANCE, SWITCHES_TOLERANCE = 1e-3, 0.05
#: Suffix of a contender whose teacher runs on a side stream.
STREAM_SUFFIX = ', stream=True'
NOT_COMPARED = 'they do not train the same, nothing is compared'


def check_agreement(
    contenders: Sequence[Contender],
) -> dict[str, dict[str, float]]:
    """Compare the losses of the first step, in full precision.

    The student's own losses must equal those of the stock student; the
    distillation loss must equal that of the distilled model without switches.
    A peer's teacher is in eval mode for this, including its dropout.

    Returns:
        The losses of each contender, ``distillation`` among them.

    Raises:
        BenchmarkError: If losses differ.
    """
    found = {}
    for one in contenders:
        # The package's teacher is no child of the model and always in eval
        # mode.
        teacher = getattr(one.model, 'teacher', None)
        in_eval = nullcontext() if teacher is None else eval_mode(teacher)
        with in_eval, float32_products('fp32'):
            found[one.name] = one.losses()
    stock, _ = found['student']
    _, distilled = found[PACKAGE]
    for name, (task, distillation) in found.items():
        if task.keys() != stock.keys():
            raise BenchmarkError(
                f'{name} has the losses {sorted(task)}, the stock student has '
                f'{sorted(stock)}: {NOT_COMPARED}.'
            )
        for key, value in task.items():
            _compare(name, key, value, stock[key], TOLERANCE)
        if name not in ('student', 'floor'):
            tolerance = (
                SWITCHES_TOLERANCE
                if name.startswith(f'{PACKAGE},')
                else TOLERANCE
            )
            _compare(name, 'distillation', distillation, distilled, tolerance)
        if (
            name.endswith(STREAM_SUFFIX)
            and name.removesuffix(STREAM_SUFFIX) in found
        ):
            _, beside = found[name.removesuffix(STREAM_SUFFIX)]
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
