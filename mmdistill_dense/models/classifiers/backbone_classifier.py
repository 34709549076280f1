"""A linear layer on a backbone: linear evaluation, and fine-tuning."""

from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy

from mmdistill_dense.registry import MODELS

from ..hosts import last_map, map_spec
from .pretrained import load_pretrained, warn_of_random_features


@MODELS.register_module()
class BackboneClassifier(BaseModel):
    """The mean of a backbone's last map, and a linear layer on it.

    The backbone's weights come by its own ``init_cfg=dict(
    type='Pretrained', checkpoint=..., prefix='backbone.')``; where training
    starts, a file that does not hold all of them is refused, which MMEngine
    would only log.

    Args:
        backbone: Any that returns maps; the last one is used.
        num_classes: At least 2.
        frozen: The backbone stays in eval mode without gradients (linear
            evaluation); ``False`` trains it too (fine-tuning).
        data_preprocessor: ``dict(type='ImgDataPreprocessor', ...)``.
        input_size: Height and width of the images, in pixels, for the dry
            run that finds the number of channels.
        init_cfg: Of the whole model, as in MMEngine.

    Raises:
        ValueError: If ``num_classes`` is below 2, or the backbone gives no
            map.
    """

    def __init__(
        self,
        backbone: dict,
        num_classes: int,
        frozen: bool = True,
        data_preprocessor: dict | nn.Module | None = None,
        input_size: tuple[int, int] = (224, 224),
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if not isinstance(num_classes, int) or num_classes < 2:
            raise ValueError(
                'BackboneClassifier: num_classes must be a whole number >= '
                f'2, got {num_classes!r}.'
            )
        self.num_classes = num_classes
        self.frozen = frozen
        self.backbone = MODELS.build(backbone)
        if frozen:
            self.backbone.requires_grad_(False)
        channels = map_spec(self.backbone, tuple(input_size)).channels
        self.fc = nn.Linear(channels, num_classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)
        self.train(self.training)

    def train(self, mode: bool = True) -> 'BackboneClassifier':
        """Set the mode; a frozen backbone stays in eval, BatchNorm too."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def init_weights(self) -> None:
        """Initialise; the backbone's file is loaded strictly.

        Raises:
            FileNotFoundError: If the file does not exist.
            ValueError: If it does not hold the backbone's weights.
        """
        if load_pretrained(self.backbone):
            self.backbone.is_init = True  # MMEngine passes it over
        elif self.frozen:
            warn_of_random_features()
        super().init_weights()

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Refuse a checkpoint of something else; MMEngine would log it."""
        start = f'{prefix}backbone.'
        if state_dict and not any(key.startswith(start) for key in state_dict):
            raise ValueError(
                f'the checkpoint has no key that starts with {start!r}, so '
                'nothing of the backbone would be loaded: it has '
                f'{list(state_dict)[:3]}. Expected the checkpoint of a '
                'BackboneClassifier, or of a pre-training.'
            )
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[BaseDataElement] | None = None,
        mode: str = 'tensor',
    ) -> Any:
        """Losses, predictions or logits.

        Args:
            inputs: Preprocessed images, (N, 3, H, W).
            data_samples: One per image, with ``gt_label`` for the loss.
            mode: ``'loss'``: a dict with ``loss`` and ``top1`` (percent,
                only logged). ``'predict'``: the data samples, with
                ``pred_scores``, (num_classes,), that sum to 1.
                ``'tensor'``: logits, (N, num_classes).
        """
        logits = self.fc(self.features(inputs))
        if mode == 'loss':
            return self._loss(logits, data_samples)
        if mode == 'predict':
            return _predictions(logits, data_samples)
        if mode == 'tensor':
            return logits
        raise ValueError(
            "BackboneClassifier: mode must be 'loss', 'predict' or 'tensor', "
            f'got {mode!r}.'
        )

    def features(self, inputs: Tensor) -> Tensor:
        """The mean over the backbone's last map, (N, C).

        Args:
            inputs: Preprocessed images, (N, 3, H, W).
        """
        trained = torch.is_grad_enabled() and not self.frozen
        with torch.set_grad_enabled(trained):
            found = last_map(self.backbone(inputs), self.backbone)
            return adaptive_avg_pool2d(found, 1).flatten(1)

    def _loss(
        self, logits: Tensor, data_samples: list[BaseDataElement] | None
    ) -> dict[str, Tensor]:
        labels = torch.cat([self._label(s) for s in data_samples or ()])
        right = logits.argmax(1) == labels
        return dict(
            loss=cross_entropy(logits, labels), top1=100 * right.float().mean()
        )

    def _label(self, sample: BaseDataElement) -> Tensor:
        """One label, (1,); told from the data's classes, without a sync."""
        found = sample.get('num_classes', self.num_classes)
        if found != self.num_classes:
            raise ValueError(
                f'BackboneClassifier: the data set has {found} classes, '
                f'num_classes={self.num_classes}. Set model.num_classes, or '
                "the data set's classes."
            )
        return sample.gt_label


def _predictions(
    logits: Tensor, data_samples: list[BaseDataElement] | None
) -> list[BaseDataElement]:
    samples = data_samples or [BaseDataElement() for _ in logits]
    for sample, scores in zip(samples, logits.softmax(1), strict=True):
        sample.pred_scores = scores
    return samples
