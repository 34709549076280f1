"""Negatives of the pixel-wise contrast: vectors of earlier images."""

from typing import Any

import torch
from mmengine import dist
from torch import Tensor, nn
from torch.nn.functional import normalize


class NegativeQueue(nn.Module):
    """First in, first out: unit vectors of the teacher, one per image.

    All is in buffers, so a resumed run goes on with its negatives. At the
    start the columns are random unit vectors.

    Args:
        channels: Length C of a vector.
        size: Number K of vectors.

    Raises:
        ValueError: If ``size`` is no whole number above 0.
    """

    vectors: Tensor  # (C, K), unit columns
    pointer: Tensor  # where the next one goes
    written: Tensor  # (K,), at which call each column was; -1: random
    calls: Tensor
    teacher: Tensor  # fingerprint of the weights that gave the vectors

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        if type(size) is not int or size < 1:
            raise ValueError(
                'queue_size must be a whole number above 0, such as 65536, '
                f'got {size!r}.'
            )
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
    def enqueue(self, keys: Tensor) -> None:
        """Let the oldest vectors go for those of all processes' images.

        Args:
            keys: (N, C), normalised here; processes are put in the order of
                their ranks. At the end of the queue it goes on at its
                beginning, so N need not divide K.

        Raises:
            ValueError: If there are more than the queue holds.
        """
        keys = normalize(keys.to(self.vectors.dtype), dim=1)
        keys = torch.cat(dist.all_gather(keys))  # N,C -> N*world,C
        count = len(keys)
        if count > self.size:
            raise ValueError(
                f'queue_size={self.size} is too small for a step of {count} '
                'images over all processes: expected a queue of many steps. '
                'Enlarge queue_size or make the batch smaller.'
            )
        steps = torch.arange(count, device=keys.device)
        places = (self.pointer + steps) % self.size
        self.vectors[:, places] = keys.T
        self.written[places] = self.calls
        self.pointer.copy_((self.pointer + count) % self.size)
        self.calls += 1

    def statistics(self) -> dict[str, Tensor]:
        """For the log: mean age in iterations, and the share not random.

        What the step before has put is 1 iteration old.
        """
        known = self.written >= 0
        ages = (self.calls - self.written) * known
        return dict(
            queue_age=ages.sum() / known.sum().clamp(min=1),
            queue_filled=known.float().mean(),
        )

    def broadcast(self) -> None:
        """Give every process the first one's queue.

        MMEngine's data parallel wrapper does not broadcast buffers, and
        with ``diff_rank_seed`` each process has drawn its own.
        """
        for buffer in self.buffers():
            dist.broadcast(buffer)

    def bind_teacher(self, fingerprint: str) -> None:
        """Note which weights the vectors come from.

        Args:
            fingerprint: Of the teacher, hexadecimal.

        Raises:
            ValueError: If a checkpoint has brought those of other weights.
        """
        current = int(fingerprint, 16)
        _check_teacher(int(self.teacher), current)
        self.teacher.fill_(current)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Refuse what MMEngine would only log: negatives of another space."""
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
    """Compare fingerprints; 0 is not known yet."""
    if stored and current and stored != current:
        raise ValueError(
            'the checkpoint has a queue of a teacher with other weights '
            f'({stored:08x}) than the present one ({current:08x}), or with '
            f'another head, so its negatives mean nothing here. {_REMEDY}'
        )


_REMEDY = (
    'Go on with the settings of that run, or start a new one from its '
    "backbone: backbone.init_cfg=dict(type='Pretrained', checkpoint=..., "
    "prefix='backbone.')."
)
