"""Training steps to compare: student, floor and distilled model."""

from collections.abc import Callable
from typing import Any

import torch
from mmengine.registry import OPTIMIZERS
from torch import Tensor, nn

from . import BenchmarkError
from .arguments import PACKAGE
from .models import Setup
from .precision import DTYPES, autocast

Losses = dict[str, Any]


class Contender:
    """A model that is trained on one batch repeatedly.

    The learning rate is 0: the optimizer runs but the weights do not change,
    so every round repeats the same work. The student's random numbers
    (sampled RoIs, dropout) are the same for all contenders, too.

    Args:
        name: Name in tables.
        setup: Batch, optimizer and settings.
        model: Model to train.
        student: Student in the model; default: ``model``.
        before: Called with the images before the student's forward.
        prefixes: Prefixes of the student's own losses, and of the
            distillation losses.
    """

    def __init__(
        self,
        name: str,
        setup: Setup,
        model: nn.Module,
        *,
        student: nn.Module | None = None,
        before: Callable[[Tensor], object] | None = None,
        prefixes: tuple[str, str] = ('', 'loss_cwd'),
    ) -> None:
        self.name = name
        self.data = setup.data
        self.device = setup.settings.device
        self.precision = setup.settings.precision
        self.before = before
        self.prefixes = prefixes
        self.model = model.to(self.device)
        model.train()  # mmrazor's returns None
        # Reseed before the student: a peer's teacher runs first and may use
        # random numbers.
        self._seed = setup.settings.seed
        (student or model).register_forward_pre_hook(self._reseed)
        self.optimizer = OPTIMIZERS.build(
            dict(setup.optimizer, params=model.parameters())
        )
        self.scaler = torch.amp.GradScaler(
            self.device, enabled=self.precision == 'fp16'
        )

    def _reseed(self, *_: object) -> None:
        torch.manual_seed(self._seed)

    def step(self) -> None:
        """Run one training iteration."""
        self.optimizer.zero_grad()
        with autocast(self.device, self.precision):
            losses = self._forward()
        total, _ = self.model.parse_losses(losses)
        self.scaler.scale(total).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _forward(self) -> Losses:
        if self.before is not None:
            self.before(self.data['inputs'])
        try:
            return self.model(**self.data, mode='loss')
        except RuntimeError as error:
            # Such as mmcv's NMS on a CPU, and its RoIAlign in bfloat16 on a
            # GPU.
            low = DTYPES.get(self.precision)
            unknown = ('scalar type', 'not implemented for')
            if low is None or not any(x in str(error) for x in unknown):
                raise
            raise BenchmarkError(
                f'{self.name} does not run in {low} on '
                f'{self.device}: {error}. Use another --precision there.'
            ) from error

    @torch.no_grad()
    def losses(self) -> tuple[dict[str, float], float]:
        """The student's own losses by name, and the distillation loss.

        In full precision, regardless of the precision of steps.
        """
        with torch.enable_grad():
            found = self._forward()
        own, distilled = self.prefixes
        sums = {key: _sum(value) for key, value in found.items()}
        task = {
            key.removeprefix(own): value
            for key, value in sums.items()
            if key.startswith(own) and not key.startswith(distilled)
        }
        return task, sum(sums[k] for k in sums if k.startswith(distilled))


def _sum(value: Tensor | list[Tensor]) -> float:
    parts = value if isinstance(value, list) else [value]
    return sum(part.mean().item() for part in parts)


def student(setup: Setup) -> Contender:
    """The stock student."""
    return Contender('student', setup, setup.stock_student())


def floor(setup: Setup) -> Contender:
    """The stock student, and a bare forward of the stock teacher."""
    teacher = setup.stock_teacher().eval().requires_grad_(False)

    @torch.no_grad()
    def bare(images: Tensor) -> None:
        maps = teacher.extract_feat(images)
        if not setup.pair.levels:
            teacher.decode_head.forward(maps)

    return Contender('floor', setup, setup.stock_student(), before=bare)


def distilled(setup: Setup, switches: dict[str, Any]) -> Contender:
    """The shipped distilled model.

    Raises:
        BenchmarkError: If the teacher has no such switch.
    """
    name = distilled_name(switches)
    try:
        model = setup.distilled(switches)
        # As init_weights at the start of a training.
        model.distill.load_teachers_and_losses(next(model.parameters()))
    except (TypeError, ValueError, RuntimeError) as error:
        if not switches:
            raise
        raise BenchmarkError(
            f'{name} cannot be built: {error}. --switches takes keys of the '
            'teacher in a config; docs/performance.md names them.'
        ) from error
    return Contender(name, setup, model)


def distilled_name(switches: dict[str, Any]) -> str:
    """Label in tables and results."""
    parts = (f'{key}={value}' for key, value in switches.items())
    return ', '.join([PACKAGE, *parts])
