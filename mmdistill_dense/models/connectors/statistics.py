"""The connector of CrossKD, which takes statistics from the teacher."""

from collections.abc import Mapping

from torch import Tensor, nn

from mmdistill_dense.functional import transferred_statistics
from mmdistill_dense.functional.checks import check_positive
from mmdistill_dense.registry import MODELS

from .conv import align_channels


@MODELS.register_module()
class StatisticsConnector(nn.Module):
    """Each channel with mean and deviation of the teacher's (CrossKD).

    Of all N, H and W of a level, see
    :func:`~mmdistill_dense.functional.transferred_statistics`. On the
    student's side a 1x1 convolution without bias comes first where channels
    differ. The term records the teacher's map at the same place as
    ``extras=dict(reference=dict(teacher=...))``; that of a module which an
    in-place activation follows as ``dict(path=..., clone=True)``.

    Args:
        in_channels: Channels of the map; set by the dry run.
        out_channels: Channels that the teacher takes; likewise.
        eps: Added to the deviation of the map, above 0.

    Raises:
        ValueError: If ``eps`` is not positive.
    """

    def __init__(
        self, in_channels: int, out_channels: int, eps: float = 1e-6
    ) -> None:
        super().__init__()
        check_positive(type(self).__name__, eps=eps)
        self.eps = eps
        self.align = align_channels(in_channels, out_channels)

    def forward(
        self, feature: Tensor, extras: Mapping[str, Mapping[str, Tensor]]
    ) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H, W).

        Args:
            feature: The student's map.
            extras: ``reference``: a map (N, out_channels, H, W) of the
                teacher.

        Raises:
            ValueError: If there is none, or of other channels.
        """
        reference = extras.get('reference', {}).get('teacher')
        aligned = self.align(feature)
        found = 'none' if reference is None else tuple(reference.shape)
        if reference is None or reference.shape[1] != aligned.shape[1]:
            raise ValueError(
                "StatisticsConnector needs the teacher's map at the place "
                f"of the student's, of {aligned.shape[1]} channels, got "
                f'{found}: write extras=dict(reference=dict(teacher='
                "'module'))."
            )
        return transferred_statistics(aligned, reference, self.eps)

    def extra_repr(self) -> str:
        return f'eps={self.eps}'
