"""A model around one backbone, which can be frozen."""

import logging
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmdistill_dense.registry import MODELS

from .maps import last_map, map_spec
from .pretrained import check_backbone_keys, load_pretrained


class BackboneModel(BaseModel):
    """A backbone that is loaded strictly, and its last map.

    The backbone's own ``init_cfg=dict(type='Pretrained', checkpoint=...,
    prefix='backbone.')`` loads its weights. A file without all of them is
    refused where training starts, and so is a checkpoint without a backbone;
    MMEngine would only log both.

    Args:
        backbone: Config of a backbone that returns maps; the last is used.
        frozen: Whether it stays in eval mode, without gradients.
        input_size: Height and width of the images, in pixels, for the dry
            run that finds ``spec``, its last map's channels and stride.
        data_preprocessor: As in MMEngine.
        init_cfg: For the whole model, as in MMEngine.
    """

    def __init__(
        self,
        backbone: dict,
        frozen: bool,
        input_size: tuple[int, int],
        data_preprocessor: dict | nn.Module | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.frozen = frozen
        if frozen:
            self.backbone.requires_grad_(False)
        self.spec = map_spec(self.backbone, tuple(input_size))
        self.train(self.training)

    def train(self, mode: bool = True) -> 'BackboneModel':
        """Set the mode; a frozen backbone and its BatchNorm stay in eval."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def init_weights(self) -> None:
        """Initialise; the backbone's file is loaded strictly.

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If it does not contain the backbone's weights.
        """
        if not load_pretrained(self.backbone) and self.frozen:
            _warn_of_random_features(type(self).__name__)
        super().init_weights()

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        check_backbone_keys(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def feature_map(self, images: Tensor) -> Tensor:
        """The backbone's last map, (N, 3, H, W) -> (N, C, h, w)."""
        trained = torch.is_grad_enabled() and not self.frozen
        with torch.set_grad_enabled(trained):
            return last_map(self.backbone(images), self.backbone)


def _warn_of_random_features(name: str) -> None:
    print_log(
        f'{name}: the backbone is frozen and has no init_cfg='
        "dict(type='Pretrained', checkpoint=..., prefix='backbone.'). Unless "
        'load_from or a resume brings its weights, the features stay random.',
        logger='current',
        level=logging.WARNING,
    )
