"""Queue of negatives for PCD: vectors of earlier images."""

from typing import Any

import torch
from mmengine import dist
from torch import Tensor, nn
from torch.nn.functional import normalize

from mmdistill_dense.functional.checks import check_int


class NegativeQueue(nn.Module):
    """First-in-first-out queue of the teacher's unit vectors, one per image.

    The state is in buffers, so a resumed run continues with its vectors.
    It is initialised with random vectors of unit L2 norm.

    Args:
        channels: Dimension C of a vector.
        size: Number K of vectors.

    Raises:
        ValueError: If ``size`` is not an integer >= 1.
    """

    vectors: Tensor  # (C, K), columns of unit L2 norm
    pointer: Tensor  # index of the next vector to write
    written: Tensor  # (K,), call that wrote each vector; -1: random
    calls: Tensor  # number of calls of enqueue
    teacher: Tensor  # fingerprint of the teacher, 0: not set

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        check_int('queue_size', size, 1)
        vectors = normalize(torch.randn(channels, size), dim=0)
        self.register_buffer('vectors', vectors)
        for name in ('pointer', 'calls', 'teacher'):
            self.register_buffer(name, torch.zeros((), dtype=torch.long))
        written = torch.full((size,), -1, dtype=torch.long)
        self.register_buffer('written', written)

    @property
    def size(self) -> int:
        return self.vectors.shape[1]

    @torch.no_grad()
    def enqueue(self, vectors: Tensor) -> None:
        """Replace the oldest vectors by those of all processes.

        Args:
            vectors: (N, C), normalised here. Processes are concatenated in the
                order of their ranks. The pointer wraps around, so N need not
                divide K.

        Raises:
            ValueError: If the global batch has more than K vectors.
        """
        vectors = normalize(vectors.to(self.vectors.dtype), dim=1)
        vectors = torch.cat(dist.all_gather(vectors))  # N,C -> N*world,C
        count = len(vectors)
        if count > self.size:
            raise ValueError(
                f'queue_size={self.size} is smaller than one global batch of '
                f'{count} images (all processes); it should be many times '
                'larger. Increase queue_size or reduce the batch size.'
            )
        offsets = torch.arange(count, device=vectors.device)
        indices = (self.pointer + offsets) % self.size
        self.vectors[:, indices] = vectors.T
        self.written[indices] = self.calls
        self.pointer.copy_((self.pointer + count) % self.size)
        self.calls += 1

    def statistics(self) -> dict[str, Tensor]:
        """Mean age of the vectors, and the fraction written so far.

        Returns:
            ``queue_age``, the mean age, in calls of :meth:`enqueue`, of the
            vectors written so far, 1 for those of the last call, and
            ``queue_filled``, the fraction of vectors written so far (the rest
            are still random).
        """
        is_written = self.written >= 0
        ages = (self.calls - self.written) * is_written
        return dict(
            queue_age=ages.sum() / is_written.sum().clamp(min=1),
            queue_filled=is_written.float().mean(),
        )

    def broadcast(self) -> None:
        """Copy the queue of the first process to all processes.

        MMEngine's data parallel wrapper does not broadcast buffers, and
        with ``diff_rank_seed`` their random values differ.
        """
        for buffer in self.buffers():
            dist.broadcast(buffer)

    def set_teacher_fingerprint(self, fingerprint: str) -> None:
        """Store the fingerprint of the teacher that computes the vectors.

        Args:
            fingerprint: Fingerprint of the teacher, hexadecimal.

        Raises:
            ValueError: If the queue was filled by another teacher.
        """
        current = int(fingerprint, 16)
        _check_teacher(int(self.teacher), current)
        self.teacher.fill_(current)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Raise if the queue is of another teacher; MMEngine only logs it."""
        vectors = state_dict.get(f'{prefix}vectors')
        if vectors is not None and vectors.shape != self.vectors.shape:
            raise ValueError(
                'the checkpoint has a queue of (C, K) = '
                f'{tuple(vectors.shape)}, expected '
                f'{tuple(self.vectors.shape)}: it is of another teacher or '
                f'queue_size. {_REMEDY}'
            )
        stored = int(state_dict.get(f'{prefix}teacher', 0))
        _check_teacher(stored, int(self.teacher))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _check_teacher(stored: int, current: int) -> None:
    """Compare fingerprints; 0 means unknown."""
    if stored and current and stored != current:
        raise ValueError(
            'the queue in the checkpoint was filled by a teacher with other '
            f'weights or another head (fingerprint {stored:08x}, current '
            f'teacher {current:08x}), so its vectors cannot be used as '
            f'negatives. {_REMEDY}'
        )


_REMEDY = (
    'Resume with the teacher and queue_size of that run, or start a new run '
    "from its backbone: backbone.init_cfg=dict(type='Pretrained', "
    "checkpoint=..., prefix='backbone.')."
)
