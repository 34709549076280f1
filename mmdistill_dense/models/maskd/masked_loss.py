"""Masked distillation losses (MasKD)."""

import logging
from collections.abc import Callable, Sequence

import torch
from mmengine.logging import print_log
from torch import Tensor

from mmdistill_dense.functional import masked_distance
from mmdistill_dense.functional.checks import check_int, check_weight
from mmdistill_dense.registry import MODELS

from ..losses.base import DistillationLoss, LoadedTeacher
from ..utils import FrozenHolder
from .receptive_tokens import ReceptiveTokens
from .token_files import check_channels, read_tokens


class MaskedLoss(FrozenHolder, DistillationLoss):
    """Base of both losses: frozen tokens that stage 1 has trained.

    The tokens are in no state dict and no optimizer. They are loaded where
    training starts, as a teacher is.

    Args:
        tokens: The token file that stage 1 writes; see
            :func:`~mmdistill_dense.models.maskd.token_files.read_tokens`.
        loss_weight: Factor of the loss, not negative. At 0 the term is
            disabled.
    """

    def __init__(self, tokens: str, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.tokens = tokens
        self.loss_weight = check_weight(type(self).__name__, loss_weight)
        #: ``info`` of the token file: where stage 1 learned the tokens.
        self.info: dict = {}

    def load(self, channels: Sequence[int], like: Tensor) -> None:
        """Read the tokens and check that they fit.

        Args:
            channels: Of each level recorded of the teacher.
            like: A tensor whose device and dtype they get.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it holds no tokens for these levels.
        """
        file = read_tokens(self.tokens)
        check_channels(file, channels)
        self._check_file(file.modules)
        self.info = file.info
        self.set_frozen(file.modules, like.device, like.dtype)

    def check_teacher(self, term: str, teacher: LoadedTeacher) -> None:
        """Log the source of the tokens; warn if the teacher differs.

        Args:
            term: Name of the term.
            teacher: The term's teacher, loaded.
        """
        place = self.info.get('at', 'a place that it does not name')
        print_log(
            f'The tokens of term {term!r} are loaded from {self.tokens}, '
            f'learned at {place}; they are frozen and in no checkpoint.',
            logger='current',
        )
        learned_on = self.info.get('teacher', teacher.fingerprint)
        if learned_on != teacher.fingerprint:
            print_log(
                f'term {term!r}: the tokens of {self.tokens} were learned on '
                f'other weights ({learned_on}) than those of teacher '
                f'{teacher.name!r} ({teacher.fingerprint}), so their masks '
                'may mean nothing here. Learn them on this checkpoint.',
                logger='current',
                level=logging.WARNING,
            )

    def _check_file(self, modules: Sequence[ReceptiveTokens]) -> None:
        """Check what a subclass needs besides the tokens."""

    def level(self, index: int) -> ReceptiveTokens:
        """The tokens of one level of the teacher.

        Raises:
            RuntimeError: If they are not loaded.
        """
        if not self.loaded:
            raise RuntimeError(
                f'{type(self).__name__} has no tokens yet: call load() '
                'first. A distiller does so where training starts.'
            )
        return self._frozen[0][index]

    def extra_repr(self) -> str:
        return f'tokens={self.tokens!r}, {super().extra_repr()}'


@MODELS.register_module()
class MaskedDetectionLoss(MaskedLoss):
    """Masked distillation of a detector's levels (MasKD, ICLR 2023).

    ``loss_weight * masked_distance`` with masks of the teacher's map. The
    distance is a mean over N and C, and summed over levels by the term;
    ``docs/losses.md`` gives the normalisation.

    Args:
        tokens: The token file that stage 1 writes.
        weighting: Whether the weighting net of the file weighs the tokens
            of each image; otherwise each has the weight 1 / T.
        custom_mask_warmup: Iteration of the Runner from which the teacher's
            masks are multiplied by the student's own, without gradient
            ("customised masks"), which makes the loss smaller. ``None``:
            never.
        loss_weight: Factor of the loss, not negative. At 0 the term is
            disabled.
    """

    def __init__(
        self,
        tokens: str,
        weighting: bool = True,
        custom_mask_warmup: int | None = None,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(tokens, loss_weight)
        if custom_mask_warmup is not None:
            name = 'MaskedDetectionLoss: custom_mask_warmup'
            check_int(name, custom_mask_warmup, 0)
        self.weighting = weighting
        self.custom_mask_warmup = custom_mask_warmup

    def _check_file(self, modules: Sequence[ReceptiveTokens]) -> None:
        if self.weighting and any(m.prob is None for m in modules):
            raise ValueError(
                f'{self.tokens} holds no weighting net, which '
                'MaskedDetectionLoss needs: learn the tokens with '
                'weighting=True, or set weighting=False here.'
            )

    def forward(
        self,
        *,
        student: Tensor,
        teacher: Tensor,
        level: int,
        iteration: Callable[[], int],
    ) -> Tensor:
        """Compare two (N, C, H, W) maps of one shape; returns a scalar.

        Args:
            student: The student's map, in the teacher's channels.
            teacher: The teacher's map.
            level: Which of the teacher's levels it is.
            iteration: Returns the Runner's iteration, counted from 0.
        """
        tokens = self.level(level)
        with torch.no_grad():
            masks = tokens.masks(teacher)
            if self._uses_student_masks(iteration):
                masks = masks * tokens.masks(student)
            weights = tokens.weights(teacher) if self.weighting else None
        return self.loss_weight * masked_distance(
            student=student,
            teacher=teacher,
            masks=masks,
            token_weights=weights,
        )

    def _uses_student_masks(self, iteration: Callable[[], int]) -> bool:
        begin = self.custom_mask_warmup
        return begin is not None and iteration() >= begin

    def extra_repr(self) -> str:
        return (
            f'{super().extra_repr()}, weighting={self.weighting}, '
            f'custom_mask_warmup={self.custom_mask_warmup}'
        )


@MODELS.register_module()
class MaskedSegmentationLoss(MaskedLoss):
    """Masked distillation of a segmentor's map (MasKD, ICLR 2023).

    Half of ``loss_weight * masked_distance``, with equal weights of all
    tokens and 1e-5 added to the sum of each mask. The official code applies
    this form to class logits; it takes any map, such as the last features.

    Args:
        tokens: The token file that stage 1 writes.
        loss_weight: Factor of the loss, not negative. At 0 the term is
            disabled.
    """

    def forward(
        self, *, student: Tensor, teacher: Tensor, level: int
    ) -> Tensor:
        """Compare two (N, C, H, W) maps of one shape; returns a scalar.

        Args:
            student: The student's map, in the teacher's channels.
            teacher: The teacher's map.
            level: Which of the teacher's levels it is.
        """
        with torch.no_grad():
            masks = self.level(level).masks(teacher)
        return self.loss_weight * masked_distance(
            student=student,
            teacher=teacher,
            masks=masks,
            half=True,
            eps=1e-5,
        )
