"""The connector of MGD: masked maps, from which a generator restores."""

import torch
from torch import Tensor, nn

from mmdistill_dense.functional import keep_mask
from mmdistill_dense.registry import MODELS

from .conv import align_channels


@MODELS.register_module()
class MaskedGenerator(nn.Module):
    """Mask a part of the map at random and generate it again (MGD, ECCV 2022).

    ``conv3x3(relu(conv3x3(align(x) * mask)))``: a 1x1 convolution with bias
    where channels differ, a mask for each image, and two 3x3 convolutions of
    the teacher's channels, with biases and PyTorch's initialisation. The
    mask comes from a generator of its own, by seed, process, iteration, term
    and level.

    Args:
        in_channels: Channels of the student's map; set by the dry run.
        out_channels: Channels of the teacher's map; likewise.
        mask_ratio: Expected fraction that is masked, between 0 and 1.
        per: ``'position'`` or ``'channel'``: what is masked as a whole.

    Raises:
        ValueError: If ``mask_ratio`` is not between 0 and 1, or ``per`` is
            unknown.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        mask_ratio: float = 0.65,
        per: str = 'position',
    ) -> None:
        super().__init__()
        if not 0 <= mask_ratio <= 1:
            raise ValueError(
                'MaskedGenerator: mask_ratio must be between 0 and 1, got '
                f'{mask_ratio!r}.'
            )
        if per not in ('position', 'channel'):
            raise ValueError(
                "MaskedGenerator: per must be 'position' or 'channel', got "
                f'{per!r}.'
            )
        self.mask_ratio, self.per = mask_ratio, per
        self.align = align_channels(in_channels, out_channels, bias=True)
        self.generation = nn.Sequential(
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
        )

    def forward(
        self, feature: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W).

        Args:
            feature: The student's map.
            generator: On its device; the term passes one for this step.
        """
        x = self.align(feature)
        return self.generation(
            x * keep_mask(x, self.mask_ratio, self.per, generator)
        )

    def extra_repr(self) -> str:
        return f'mask_ratio={self.mask_ratio}, per={self.per!r}'
