"""Linear classifier on a backbone: linear evaluation and fine-tuning."""

from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, cross_entropy

from mmdistill_dense.functional.checks import check_int
from mmdistill_dense.registry import MODELS

from .backbone_model import BackboneModel


@MODELS.register_module()
class BackboneClassifier(BackboneModel):
    """A linear layer on the mean of a backbone's last map.

    The backbone's own ``init_cfg=dict(type='Pretrained', checkpoint=...,
    prefix='backbone.')`` loads its weights. A file without all of them is
    refused where training starts; MMEngine would only log it.

    Args:
        backbone: Config of a backbone that returns maps; the last is used.
        num_classes: At least 2.
        frozen: Whether the backbone stays in eval mode without gradients
            (linear evaluation), or is trained too (fine-tuning).
        data_preprocessor: ``dict(type='ImgDataPreprocessor', ...)``.
        input_size: Height and width of the images, in pixels, for the dry
            run that finds the number of channels.
        init_cfg: For the whole model, as in MMEngine.

    Raises:
        ValueError: If ``num_classes`` is below 2, or the backbone returns
            no map.
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
        check_int('BackboneClassifier: num_classes', num_classes, 2)
        super().__init__(
            backbone, frozen, input_size, data_preprocessor, init_cfg
        )
        self.num_classes = num_classes
        self.fc = nn.Linear(self.spec.channels, num_classes)
        nn.init.normal_(self.fc.weight, std=0.01)
        nn.init.zeros_(self.fc.bias)

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
        """Mean of the backbone's last map, (N, C).

        Args:
            inputs: Preprocessed images, (N, 3, H, W).
        """
        return adaptive_avg_pool2d(self.feature_map(inputs), 1).flatten(1)

    def _loss(
        self, logits: Tensor, data_samples: list[BaseDataElement] | None
    ) -> dict[str, Tensor]:
        labels = torch.cat([self._label(s) for s in data_samples or ()])
        correct = logits.argmax(1) == labels
        return dict(
            loss=cross_entropy(logits, labels),
            top1=100 * correct.float().mean(),
        )

    def _label(self, sample: BaseDataElement) -> Tensor:
        """The label of one image, (1,), after a check without a GPU sync."""
        num_classes = sample.get('num_classes', self.num_classes)
        if num_classes != self.num_classes:
            raise ValueError(
                f'BackboneClassifier: the data set has {num_classes} classes, '
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
