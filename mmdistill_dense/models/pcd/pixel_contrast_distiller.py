"""PCD: pre-train a backbone, pixel by pixel, on a contrastive teacher."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mmdistill_dense.registry import MODELS

from ..distillers.report import log_checkpoint
from ..utils import forked_rng
from .backbone_model import BackboneModel
from .checks import check_unused_parameters, warn_of_frozen_parts
from .description import describe_contrast
from .maps import check_views
from .pairing import PAIRINGS, pair_views
from .projection_teacher import ProjectionTeacher
from .queue import NegativeQueue


@MODELS.register_module()
class PixelContrastDistiller(BackboneModel):
    r"""Self-supervised pre-training of a small backbone (PCD, ICCV 2023).

    Each cell of the student's last map is attracted to the teacher's cell and
    repelled by vectors of other images. ``SpatialAdaptor`` applies the
    teacher's projection head to maps. With views 1 and 2 of each image,

    .. math:: L = \tfrac12 (L(S_1, T_2) + L(S_2, T_1))

    for ``pairing='cross'``; :math:`L` is
    ``mmdistill_dense.functional.pixel_contrast``. One vector per image of
    view 1, pooled and normalised, goes into the queue after each step.

    Only backbone, attention and head are parameters. Attention, head and
    queue are dropped when the backbone is exported. In checkpoints the
    student is ``backbone.*``.

    Source: Huang and Guo, "Pixel-Wise Contrastive Distillation" (arXiv
    2211.00218). The documentation of PCD lists the choices that the paper's
    code and text leave open.

    Args:
        backbone: Config of the student; its last map is used.
        teacher: ``dict(backbone=..., layout=..., checkpoint=...)``, see
            ``ProjectionTeacher``.
        attention: Applied after the backbone, ``dict(type=
            'mmdistill_dense.PixelAttention', num_heads=8)``, or ``None``.
            Any module that takes ``channels`` and has ``cost`` is accepted.
        head: The student's projector and predictor; ``None``: with the form
            of the teacher's head. Any module that takes ``in_channels`` and
            has ``out_channels`` is accepted.
        loss: ``dict(type='mmdistill_dense.PixelContrastLoss', tau=0.2)``.
        queue_size: Number of negatives.
        pairing: ``'cross'`` (the authors' code), ``'same'`` or
            ``'aligned'``: cells of the other view at the same index, of the
            same view, or of the other view at the same position.
        data_preprocessor: ``dict(type=
            'mmdistill_dense.MultiViewPreprocessor', ...)``.
        input_size: Height and width of the views, in pixels.
        init_cfg: For the whole model, as in MMEngine.

    Raises:
        ValueError: If a setting does not fit.
    """

    def __init__(
        self,
        backbone: dict,
        teacher: Mapping[str, Any],
        attention: dict | None = None,
        head: dict | None = None,
        loss: dict | None = None,
        queue_size: int = 65536,
        pairing: str = 'cross',
        data_preprocessor: dict | nn.Module | None = None,
        input_size: tuple[int, int] = (224, 224),
        init_cfg: dict | None = None,
    ) -> None:
        size = tuple(input_size)
        super().__init__(backbone, False, size, data_preprocessor, init_cfg)
        if pairing not in PAIRINGS:
            raise ValueError(
                f'pairing must be one of {", ".join(PAIRINGS)}, got '
                f'{pairing!r}.'
            )
        self.pairing = pairing
        loss = loss or dict(type='mmdistill_dense.PixelContrastLoss')
        self.contrast = MODELS.build(loss)
        # A seed gives the same student with any teacher, attention and head.
        with forked_rng():
            self.teacher = ProjectionTeacher(**{'input_size': size, **teacher})
            self.attention = self._build_attention(attention)
            self.head = self._build_head(head)
            self.queue = NegativeQueue(self.teacher.channels, queue_size)
        self._started = False
        print_log(self.describe(), logger='current')

    def _build_attention(self, attention: dict | None) -> nn.Module:
        if attention is None:
            return nn.Identity()
        return MODELS.build({'channels': self.spec.channels, **attention})

    def _build_head(self, head: dict | None) -> nn.Module:
        if head is None:
            head = dict(
                type='mmdistill_dense.PixelHead', **self.teacher.student_head
            )
        built = MODELS.build({'in_channels': self.spec.channels, **head})
        if built.out_channels != self.teacher.channels:
            raise ValueError(
                f'head: its last layer has {built.out_channels} channels, '
                f"the teacher's {self.teacher.channels}. Give the last of "
                "predictor=(...) the teacher's number, or head=None."
            )
        return built

    def describe(self) -> str:
        """Student, attention with its cost, teacher, queue and pairing."""
        return describe_contrast(self)

    def init_weights(self) -> None:
        """Initialise the student and load the teacher."""
        super().init_weights()
        self.load_teacher()

    def load_teacher(self) -> None:
        """Load the teacher, unless it is loaded.

        Raises:
            ValueError: If it has no checkpoint, or one that does not fit.
        """
        if not self.teacher.loaded:
            self.teacher.load(self.queue.vectors)
            self.queue.set_teacher_fingerprint(self.teacher.fingerprint)
            log_checkpoint(self.teacher)

    def forward(
        self,
        inputs: list[Tensor] | Tensor,
        data_samples: list | None = None,
        mode: str = 'tensor',
    ) -> Any:
        """Losses, or features.

        Args:
            inputs: Two views, (N, 3, H, W) each, preprocessed; one batch of
                images for ``mode='tensor'``.
            data_samples: One per image, with the geometry of its views.
            mode: ``'loss'``, or ``'tensor'`` for the backbone's maps.

        Raises:
            ValueError: For ``mode='predict'``.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        if mode == 'tensor':
            return self.backbone(inputs)
        raise ValueError(
            'PixelContrastDistiller predicts nothing: it pre-trains a '
            'backbone. Export that with tools/export_student.py and train a '
            'detector, a segmentor or a BackboneClassifier from it.'
        )

    def embed(self, images: Tensor) -> Tensor:
        """The student's map in the teacher's space, (N, C, h, w).

        Args:
            images: One view (N, 3, H, W), preprocessed.
        """
        return self.head(self.attention(self.feature_map(images)))

    def loss(self, inputs: list[Tensor], data_samples: list) -> dict:
        """``loss_contrast``, and values that are only logged.

        Args:
            inputs: Two views, (N, 3, H, W) each, preprocessed.
            data_samples: One per image, with the geometry of its views.

        Returns:
            ``loss_contrast``; ``positive`` and ``hardest``, the mean cosine
            of the positive and of the hardest negative; ``top1``, the share
            of cells whose positive is above every negative; ``queue_age``, in
            iterations; and ``queue_filled``, a share.
        """
        check_views(inputs)
        self.load_teacher()
        if not self._started:
            self.queue.broadcast()
        students = [self.embed(view) for view in inputs]
        teachers = self.teacher.maps(torch.cat(inputs)).chunk(2)
        pairs = pair_views(self.pairing, students, teachers, data_samples)
        results = [
            self.contrast(
                student=s, teacher=t, queue=self.queue.vectors, valid=valid
            )
            for s, t, valid in pairs
        ]
        value = (results[0][0] + results[1][0]) / 2
        if not self._started:
            check_unused_parameters(self, value)
            if self.training:
                warn_of_frozen_parts(self.backbone)
            self._started = torch.is_grad_enabled()
        first, second = (statistics for _, statistics in results)
        means = {key: (first[key] + second[key]) / 2 for key in first}
        losses = {'loss_contrast': value, **means, **self.queue.statistics()}
        if self.training:
            dtype = self.queue.vectors.dtype  # not autocast's
            self.queue.enqueue(teachers[0].mean((2, 3), dtype=dtype))
        return losses
