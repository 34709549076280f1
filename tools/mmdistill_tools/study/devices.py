"""The GPUs that a study may use."""

import os
from collections.abc import Sequence

import torch

from . import StudyError

VISIBLE = 'CUDA_VISIBLE_DEVICES'


def use_gpus(slots: Sequence[dict[str, str]]) -> None:
    """Check the GPUs of the slots, and evaluate on the first one.

    With a wrong GPU a training would silently run on the CPU.

    Raises:
        StudyError: If a GPU does not exist.
    """
    requested = [slot[VISIBLE] for slot in slots if VISIBLE in slot]
    available = available_gpus()
    for name in requested:
        if name not in available and not name.startswith(('GPU-', 'MIG-')):
            raise StudyError(
                f'there is no GPU {name!r}. Expected some of '
                f'{", ".join(available)}, with commas between.'
                if available
                else f'there is no GPU {name!r}: torch sees none at all. '
                'Without --gpus runs go on CPUs.'
            )
    if requested and requested[0] in available:
        torch.cuda.set_device(available.index(requested[0]))


def available_gpus() -> list[str]:
    """Names for ``CUDA_VISIBLE_DEVICES``, in the order of torch."""
    count = torch.cuda.device_count()
    visible = os.environ.get(VISIBLE)
    if visible is None:
        return [str(index) for index in range(count)]
    return [name.strip() for name in visible.split(',')][:count]
