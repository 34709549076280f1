"""Summary of PCD's pre-training, and export of the backbone."""

from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import torch

from mmdistill_dense.export.backbone import (
    backbone_checkpoint,
    backbone_config,
    build_backbone,
)
from mmdistill_tools import figures
from mmdistill_tools.runs.logs import curve
from mmdistill_tools.runs.run import Run
from mmdistill_tools.study.measure import trained_config

from .comparisons import Comparison

#: Role of its row.
ROLE = 'pretraining'
#: First and last value of a curve.
FirstLast = tuple[float, float]
#: Number of iterations averaged at the end, as a batch is small.
NUM_AVERAGED = 10


@dataclass(frozen=True)
class PretrainingSummary:
    """Metrics at the start and end of the pre-training.

    Attributes:
        top1: Fraction of cells whose positive is above every negative.
        positive: Cosine between a cell and the teacher's cell.
        hardest: Cosine between a cell and its hardest negative.
        image_top1: Fraction of images that the teacher's head identifies in
            a batch.
    """

    top1: FirstLast
    positive: FirstLast
    hardest: FirstLast
    image_top1: FirstLast

    def to_sentence(self, comparison: Comparison) -> str:
        """The summary as a sentence."""
        first, last = (f'{100 * value:.0f} %' for value in self.top1)
        return (
            f'{comparison.title} pre-training, without labels: cells that are '
            f'nearer to the teacher than to any negative went from {first} '
            f'to {last}; the cosine with the teacher from '
            f'{_format_course(self.positive)}, with the hardest negative from '
            f"{_format_course(self.hardest)}. The teacher's head tells "
            f'{100 * self.image_top1[1]:.0f} % of the images of a batch apart.'
        )


def _format_course(values: FirstLast) -> str:
    return f'{values[0]:.2f} to {values[1]:.2f}'


def read_summary(comparison: Comparison) -> PretrainingSummary:
    """Read the summary from the logs of both stages."""

    def course(role: str, key: str) -> FirstLast:
        values = curve(comparison.runs[role].folder, key)[1]
        return values[0], mean(values[-NUM_AVERAGED:])

    keys = ('top1', 'positive', 'hardest')
    return PretrainingSummary(
        *(course(ROLE, key) for key in keys),
        image_top1=course('contrast', 'top1'),
    )


def draw_learning(path: str | Path, run: Run) -> None:
    """Draw curves of the pre-training: loss, top 1 and cosines."""
    folder = run.folder
    names = dict(
        top1='cells above all negatives, share',
        positive='cosine with the teacher',
        hardest='cosine with the hardest negative',
    )
    figures.curves(
        path,
        {'pre-training': curve(folder, 'loss_contrast')},
        {name: curve(folder, key) for key, name in names.items()},
        'share or cosine',
    )


def export_backbone(run: Run, folder: Path) -> Path:
    """Export the pre-trained backbone.

    Args:
        run: The finished pre-training.
        folder: Output folder of ``backbone.pth`` and ``backbone.py``.

    Returns:
        The checkpoint.
    """
    cfg = trained_config(run)
    backbone = backbone_checkpoint(str(run.checkpoint))
    build_backbone(cfg, backbone['state_dict'])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / 'backbone.pth'
    torch.save(backbone, path)
    backbone_config(cfg, path.as_posix()).dump(folder / 'backbone.py')
    return path
