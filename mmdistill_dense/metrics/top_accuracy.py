"""Share of images whose class is among the k highest scores."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.evaluator import BaseMetric

from mmdistill_dense.functional.checks import check_int
from mmdistill_dense.registry import METRICS


@METRICS.register_module()
class TopAccuracy(BaseMetric):
    """Top-k accuracy, ``accuracy/top1`` and ``accuracy/top5``, in percent.

    Args:
        topk: The numbers k, each at least 1 and at most the number of
            classes.
        kwargs: ``collect_device`` and ``prefix`` of MMEngine's
            ``BaseMetric``, which gathers from all processes.

    Raises:
        ValueError: If ``topk`` is not a list of integers >= 1; at the first
            batch, if one is above the number of classes.
    """

    default_prefix = 'accuracy'

    def __init__(self, topk: Sequence[int] = (1, 5), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(topk, (list, tuple)) or not topk:
            raise ValueError(
                f'TopAccuracy: topk must be a list of integers, got {topk!r}.'
            )
        for k in topk:
            check_int('TopAccuracy: each k of topk', k, 1)
        self.topk = tuple(topk)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Record for each image and k whether its class is among the k best.

        Args:
            data_batch: Not used.
            data_samples: Each has ``pred_scores``, (num_classes,), and
                ``gt_label``, (1,).
        """
        scores = torch.stack([s['pred_scores'] for s in data_samples])
        labels = torch.stack([s['gt_label'] for s in data_samples])
        if max(self.topk) > scores.shape[1]:
            raise ValueError(
                f'TopAccuracy: topk={self.topk} exceeds the number of '
                f'classes, {scores.shape[1]}. Set topk=(1,) '
                'in val_evaluator and test_evaluator.'
            )
        best = scores.topk(max(self.topk)).indices
        hits = (best == labels).cpu()  # (N, k), at most one in a row
        self.results += [
            tuple(bool(row[:k].any()) for k in self.topk) for row in hits
        ]

    def compute_metrics(self, results: list[tuple[bool, ...]]) -> dict:
        shares = torch.tensor(results, dtype=torch.float64).mean(0)
        percents = (100 * shares).tolist()
        return {
            f'top{k}': value
            for k, value in zip(self.topk, percents, strict=True)
        }
