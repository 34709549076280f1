"""Queue of negatives for PCD: vectors of earlier images."""

from typing import Any

import torch
from mmengine import dist
from torch import Tensor, nn
from torch.nn.functional import normalize

from mmdistill_dense.functional.checks import check_int


class NegativeQueue(nn.Module):
    """First-in-first-out queue of the teacher's unit vectors, one per image.

    The state is in buffers, so a resumed run continues with its negatives.
    The columns are initialised with random unit vectors.

    Args:
        channels: Length C of a vector.
        size: Number K of vectors.

    Raises:
        ValueError: If ``size`` is not an integer >= 1.
    """

    vectors: Tensor  # (C, K), unit columns
    pointer: Tensor  # index of the next column to write
    written: Tensor  # (K,), call that wrote each column; -1: random
    calls: Tensor  # number of calls of enqueue
    teacher: Tensor  # fingerprint of the teacher of the vectors; 0: none

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
            ValueError: If there are more than K.
        """
        vectors = normalize(vectors.to(self.vectors.dtype), dim=1)
        vectors = torch.cat(dist.all_gather(vectors))  # N,C -> N*world,C
        count = len(vectors)
        if count > self.size:
            raise ValueError(
                f'queue_size={self.size} is too small for a step of {count} '
                'images over all processes: expected a queue of many steps. '
                'Enlarge queue_size or make the batch smaller.'
            )
        offsets = torch.arange(count, device=vectors.device)
        columns = (self.pointer + offsets) % self.size
        self.vectors[:, columns] = vectors.T
        self.written[columns] = self.calls
        self.pointer.copy_((self.pointer + count) % self.size)
        self.calls += 1

    def statistics(self) -> dict[str, Tensor]:
        """For the log: mean age in iterations, and the share not random.

        Vectors of the previous step have the age 1.
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
        """Record the fingerprint of the teacher of the vectors.

        Args:
            fingerprint: Fingerprint of the teacher, hexadecimal.

        Raises:
            ValueError: If the loaded queue is of another teacher.
        """
        current = int(fingerprint, 16)
        _check_teacher(int(self.teacher), current)
        self.teacher.fill_(current)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Refuse the queue of another teacher; MMEngine would only log it."""
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
            'the checkpoint has a queue of a teacher with other weights '
            f'({stored:08x}) than the present one ({current:08x}), or with '
            f'another head, so its negatives are of no use. {_REMEDY}'
        )


_REMEDY = (
    'Go on with the settings of that run, or start a new one from its '
    "backbone: backbone.init_cfg=dict(type='Pretrained', checkpoint=..., "
    "prefix='backbone.')."
)
