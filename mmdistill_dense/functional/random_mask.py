"""Random masks that depend on a key alone, not on the run's generators."""

import hashlib

import torch
from torch import Tensor


def keyed_generator(
    device: torch.device | str, *key: int | str
) -> torch.Generator:
    """A random generator whose numbers depend on its key alone.

    No other generator is read or moved, so that a resumed run draws the same
    numbers without any state, and the device is not waited for.

    Args:
        device: Device on which numbers are drawn; each kind of device has
            numbers of its own.
        *key: Such as the seed of the run and the iteration.
    """
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    seed = int.from_bytes(digest, 'big') >> 1  # torch takes 63 bits
    return torch.Generator(device).manual_seed(seed)


def keep_mask(
    feature: Tensor,
    ratio: float,
    per: str = 'position',
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mask that is 0 where a uniform number is above ``1 - ratio``, else 1.

    Drawn in float32, as by the authors of MGD (ECCV 2022).

    Args:
        feature: Map of shape (N, C, H, W), for shape, dtype and device.
        ratio: Expected fraction that is masked, between 0 and 1.
        per: ``'position'``: one number per image and position;
            ``'channel'``: one per image and channel.
        generator: On the device of the map; ``None``: torch's default one.

    Returns:
        Mask of shape (N, 1, H, W), or (N, C, 1, 1) for ``'channel'``.
    """
    n, c, h, w = feature.shape
    shape = (n, 1, h, w) if per == 'position' else (n, c, 1, 1)
    drawn = torch.rand(shape, generator=generator, device=feature.device)
    return (drawn <= 1 - ratio).to(feature.dtype)
