"""Summary and figures of MasKD's stage 1."""

from dataclasses import dataclass
from pathlib import Path

import cv2
from mmengine.device import get_device

from mmdistill_dense.models.maskd import token_images
from mmdistill_dense.models.maskd.token_pictures import draw_masks
from mmdistill_tools import figures, token_learners
from mmdistill_tools.runs.logs import curve, records
from mmdistill_tools.runs.run import Run
from mmdistill_tools.study.measure import trained_config

from . import DemoError
from .comparisons import Comparison

#: Role of its row.
ROLE = 'tokens'
#: Log key of the diversity loss, summed over the levels.
DIVERSITY = 'loss_diversity'


@dataclass(frozen=True)
class TokenSummary:
    """Metrics of stage 1.

    Attributes:
        first: First logged diversity loss (Dice, summed over levels).
        last: Last logged diversity loss.
        masked: Score of the teacher on masked features, in points.
        plain: Score of the unmodified teacher, in points.
    """

    first: float
    last: float
    masked: float
    plain: float

    def to_sentence(self, comparison: Comparison) -> str:
        """The summary as a sentence."""
        return (
            f'{comparison.title} tokens: the Dice of their masks fell from '
            f'{self.first:.2f} to {self.last:.2f}; the teacher has '
            f'{comparison.label} {self.masked:.1f} through the masks, '
            f'{self.plain:.1f} without them.'
        )


def read_summary(comparison: Comparison) -> TokenSummary:
    """Read the summary from the logs of its run."""
    folder = comparison.runs[ROLE].folder
    _, diversity = curve(folder, DIVERSITY)
    points = 100 if comparison.metric.startswith('coco/') else 1
    masked, plain = (
        # A detector without detections has no score.
        points
        * next(reversed(curve(folder, f'{name}/{comparison.metric}')[1]), 0)
        for name in ('masked', 'plain')
    )
    return TokenSummary(diversity[0], diversity[-1], masked, plain)


def draw_learning(path: str | Path, run: Run) -> None:
    """Draw the curves of stage 1: task loss and diversity loss."""
    logged = [record for record in records(run.folder) if DIVERSITY in record]
    steps = [record['step'] for record in logged]
    task = [record['loss'] - record[DIVERSITY] for record in logged]
    figures.curves(
        path,
        {'stage 1': (steps, task)},
        {'stage 1': (steps, [record[DIVERSITY] for record in logged])},
        'Dice of the masks, summed over levels',
    )


def draw_tokens(path: str | Path, run: Run, image: str) -> None:
    """Draw the mask of each token on an image.

    Args:
        path: File to write.
        run: The finished run of stage 1.
        image: Image file.

    Raises:
        DemoError: If the file cannot be written.
    """
    cfg = trained_config(run)
    learner = token_learners.load_learner(
        cfg, str(run.checkpoint), get_device()
    )
    packed = token_images.read_image(token_images.test_pipeline(cfg), image)
    title = f'{run.title} on a validation image'
    picture = draw_masks(*token_images.masks_on_image(learner, packed), title)
    if not cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)):
        raise DemoError(
            f'{path} could not be written. Expected a folder that can be, '
            'with room left.'
        )
