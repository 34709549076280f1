"""Contrastive training of a projection head for a teacher without one."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from mmdistill_dense.functional.checks import check_positive
from mmdistill_dense.registry import MODELS

from ..encoders.layouts import layout_of
from .backbone_model import BackboneModel
from .heads import build_head
from .maps import check_views


@MODELS.register_module()
class InstanceContrast(BackboneModel):
    """Instance discrimination on pooled features.

    The two views of an image attract each other and repel the other images
    of the batch (InfoNCE over the batch, in both directions). A backbone
    that was trained with labels, or not at all, gets the projection head
    that the teacher of ``PixelContrastDistiller`` needs. Checkpoints contain
    ``backbone.*`` and ``head.*``, which a teacher of layout ``'openmmlab'``
    with the same ``head`` loads.

    The loss is that of MoCo v3 without momentum encoder, predictor and the
    factor 2 tau (Chen et al., ICCV 2021, arXiv 2104.02057).

    Args:
        backbone: Its last map is pooled.
        head: ``dict(widths=(256, 64), bias=False)``: linear layers with
            batch norm and ReLU between them; or the layers one by one, as
            for a teacher.
        frozen: Whether the backbone stays in eval mode, without gradients.
        tau: Temperature.
        data_preprocessor: ``dict(type=
            'mmdistill_dense.MultiViewPreprocessor', ...)``.
        input_size: Height and width of the views, in pixels.
        init_cfg: For the whole model, as in MMEngine.
    """

    def __init__(
        self,
        backbone: dict,
        head: dict[str, Any] | Sequence[dict],
        frozen: bool = False,
        tau: float = 0.2,
        data_preprocessor: dict | nn.Module | None = None,
        input_size: tuple[int, int] = (224, 224),
        init_cfg: dict | None = None,
    ) -> None:
        check_positive('InstanceContrast', tau=tau)
        super().__init__(
            backbone, frozen, input_size, data_preprocessor, init_cfg
        )
        layout = layout_of('openmmlab')
        self.head = build_head(head, layout, self.spec.channels, False)
        self.tau = tau

    def forward(
        self,
        inputs: list[Tensor] | Tensor,
        data_samples: list | None = None,
        mode: str = 'tensor',
    ) -> Any:
        """Losses of two views, or the vectors (N, C) of one batch.

        Args:
            inputs: Two views, (N, 3, H, W) each, preprocessed; one batch of
                images for ``mode='tensor'``.
            data_samples: Not used.
            mode: ``'loss'`` or ``'tensor'``.

        Raises:
            ValueError: For another mode.
        """
        if mode == 'loss':
            return self.loss(inputs)
        if mode == 'tensor':
            return self.embed(inputs)
        raise ValueError(
            f'InstanceContrast has no mode {mode!r}: it only prepares a '
            'teacher, so leave validation and test out of its config.'
        )

    def embed(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, C)."""
        return self.head(self.feature_map(images).mean((2, 3)))

    def loss(self, inputs: list[Tensor]) -> dict[str, Tensor]:
        """``loss_contrast``, and ``top1``, the share of images matched."""
        check_views(inputs)
        one, two = (normalize(self.embed(v).float()) for v in inputs)
        logits = one @ two.T / self.tau  # N,C x C,N -> N,N
        target = torch.arange(len(one), device=one.device)
        value = (
            cross_entropy(logits, target) + cross_entropy(logits.T, target)
        ) / 2
        top1 = (logits.argmax(1) == target).float().mean()
        return dict(loss_contrast=value, top1=top1)
