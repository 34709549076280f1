"""Scores and cost of a trained model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import DataLoader

from mmdistill_dense.export.student import build_student, student_checkpoint
from mmdistill_dense.inspection.complexity import model_complexity


@dataclass
class Outcome:
    """Result of evaluating one model on the validation set.

    Attributes:
        scores: Scores of the host's evaluator, in points (0-100).
        classes: Score of each class, in points; nan for a class that is not
            in the set.
        parameters: Number of parameters.
        flops: FLOPs of one image, 2 per multiply-add.
    """

    scores: dict[str, float]
    classes: dict[str, float]
    parameters: int
    flops: int


def evaluate(cfg: Config, checkpoint: str) -> Outcome:
    """Evaluate the stock model of a config with the host's own evaluator.

    Args:
        cfg: Config of a stock model.
        checkpoint: Checkpoint file of a stock or a distilled model.
    """
    model, loader, evaluator = _load(cfg, checkpoint)
    for batch in loader:
        predictions = _predict(model, batch)
        evaluator.process(predictions, batch)
    classes = _class_ious(evaluator)
    scores = evaluator.evaluate(len(loader.dataset))
    if not classes:
        scores = _zero_scores(evaluator) | scores
    cost = model_complexity(model, predictions[0].img_shape[:2])
    return Outcome(
        scores=_in_points(scores),
        classes=classes or _class_precisions(scores),
        parameters=cost.parameters,
        flops=cost.flops,
    )


def predict_images(
    cfg: Config, checkpoint: str, images: Sequence[int]
) -> tuple[list[BaseDataElement], dict]:
    """Predictions of some validation images.

    Args:
        cfg: Config of a stock model.
        checkpoint: Checkpoint file of a stock or a distilled model.
        images: Indices of the images; those that do not exist are left out.

    Returns:
        Predictions with ground truth, in ascending order of the indices, and
        the metainfo of the validation set: classes and palette.
    """
    model, loader, _ = _load(cfg, checkpoint)
    dataset = loader.dataset
    samples = [
        sample.cpu()
        for index in sorted(set(images) & set(range(len(dataset))))
        for sample in _predict(model, loader.collate_fn([dataset[index]]))
    ]
    return samples, dict(dataset.metainfo)


def image_scores(
    cfg: Config,
    checkpoint: str,
    key: str,
    images: Sequence[int] | None = None,
) -> dict[int, float]:
    """The score of validation images alone, by the host's evaluator.

    Args:
        cfg: Config of a stock model.
        checkpoint: Checkpoint file of a stock or a distilled model.
        key: Key of the score, such as ``'mIoU'``.
        images: Indices of the images; those that do not exist are left out;
            default: all.

    Returns:
        By index, points (0-100); nan where an image has none, such as an
        average precision without instances.
    """
    model, loader, evaluator = _load(cfg, checkpoint)
    metric = evaluator.metrics[0]
    scores = {}
    for index in range(len(loader.dataset)):
        if images is not None and index not in images:
            continue
        batch = loader.collate_fn([loader.dataset[index]])
        predictions = _predict(model, batch)
        evaluator.process(predictions, batch)
        if hasattr(metric, 'img_ids'):  # COCO would count the other images
            metric.img_ids = [sample.img_id for sample in predictions]
        score = _in_points(evaluator.evaluate(1)).get(key, 0.0)
        # COCO's value without instances is -1.
        scores[index] = score if score >= 0 else math.nan
    return scores


def _load(
    cfg: Config, checkpoint: str
) -> tuple[nn.Module, DataLoader, Evaluator]:
    """Build the model, the validation data loader and the evaluator."""
    init_default_scope(cfg.default_scope)
    torch.set_num_threads(1)  # more threads do not help on one small image
    weights = student_checkpoint(checkpoint)['state_dict']
    model = build_student(cfg, weights).to(get_device()).eval()
    loader = Runner.build_dataloader(cfg.val_dataloader)
    evaluator = Evaluator(_classwise(cfg.val_evaluator))
    evaluator.dataset_meta = loader.dataset.metainfo
    return model, loader, evaluator


@torch.no_grad()
def _predict(model: nn.Module, batch: dict) -> list[BaseDataElement]:
    return model.test_step(batch)


def _classwise(evaluator: dict) -> dict:
    """Enable the average precision of each class in COCO's metric."""
    if evaluator['type'] == 'CocoMetric':
        return dict(evaluator, classwise=True)
    return dict(evaluator)


def _class_ious(evaluator: Evaluator) -> dict[str, float]:
    """IoU of each class in points; IoUMetric prints but not returns it."""
    metric = evaluator.metrics[0]
    if not hasattr(metric, 'total_area_to_metrics'):
        return {}
    areas = [sum(part) for part in zip(*metric.results, strict=True)]
    values = metric.total_area_to_metrics(*areas, metric.metrics)['IoU']
    names = evaluator.dataset_meta['classes']
    return dict(zip(names, (100 * values).tolist(), strict=True))


def _zero_scores(evaluator: Evaluator) -> dict[str, float]:
    """Scores of 0, which CocoMetric omits without any detection."""
    kinds = evaluator.metrics[0].metrics
    keys = [f'{kind}_mAP' for kind in kinds]
    keys += [f'{name}_precision' for name in evaluator.dataset_meta['classes']]
    return {f'coco/{key}': 0.0 for key in keys}


def _class_precisions(scores: dict[str, float]) -> dict[str, float]:
    """AP of each class in points, for the last evaluated kind."""
    return {
        key.removeprefix('coco/').removesuffix('_precision'): 100 * value
        for key, value in scores.items()
        if key.endswith('_precision')
    }


def _in_points(scores: dict[str, float]) -> dict[str, float]:
    """Scores in points; COCO's are fractions, IoUMetric's are not."""
    return {
        key: float(value) * (100 if key.startswith('coco/') else 1)
        for key, value in scores.items()
    }
