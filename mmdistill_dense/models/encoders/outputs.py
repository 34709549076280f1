"""Maps among what a network puts out: chosen by key, or made of tokens."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

#: Tokens beside those of the grid: class token, registers, distillation.
_MAX_EXTRA_TOKENS = 16
#: Index, key or attribute of an output, or several, one inside the other.
Output = str | int | list | tuple | None


def select(value: Any, output: Output) -> Any:
    """The part of a network's output that the config names.

    Args:
        value: What the network returned.
        output: ``'last_hidden_state'``, ``-1``, or ``['maps', 0]`` for the
            first of the maps.

    Raises:
        ValueError: If there is no such part.
    """
    if output is None:
        return value
    for key in output if isinstance(output, (list, tuple)) else [output]:
        try:
            value = _member(value, key)
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise ValueError(
                f'output={output!r}: there is no {key!r} in what the network '
                f'returned, {describe(value)}.'
            ) from error
    return value


def _member(value: Any, key: str | int) -> Any:
    if isinstance(key, str) and not isinstance(value, Mapping):
        return getattr(value, key)
    return value[key]


def describe(value: Any) -> str:
    """A few words on an output, for messages."""
    if isinstance(value, Tensor):
        return f'a tensor of shape {tuple(value.shape)}'
    if isinstance(value, Mapping):
        return f'a {type(value).__name__} with the keys {list(value)}'
    if isinstance(value, (list, tuple)):
        return f'a {type(value).__name__} of {len(value)}'
    return f'a {type(value).__name__}'


def as_maps(value: Any, cells: tuple[int, int] | None) -> tuple[Tensor, ...]:
    """Maps (N, C, H, W) of an output that is one tensor or several.

    Args:
        value: Maps (N, C, H, W), or tokens (N, L, C), of which the last ones
            are the grid, row by row.
        cells: Height and width of the grid of tokens; ``None`` if the size
            of a patch is not known.

    Raises:
        ValueError: If it is neither.
    """
    several = value if isinstance(value, (list, tuple)) else [value]
    if not several or not all(isinstance(x, Tensor) for x in several):
        raise ValueError(
            f'the network returned {describe(value)}, expected maps (N, C, H, '
            "W) or tokens (N, L, C). Choose a part: output='key', an index, "
            "or ['key', index]."
        )
    return tuple(_as_map(tensor, cells) for tensor in several)


def _as_map(tensor: Tensor, cells: tuple[int, int] | None) -> Tensor:
    if tensor.ndim == 4:
        return tensor
    if tensor.ndim != 3:
        raise ValueError(
            f'the network returned {describe(tensor)}, expected maps (N, C, '
            "H, W) or tokens (N, L, C). Choose another part: output='key'."
        )
    if cells is None:
        raise ValueError(
            f'the network returned tokens, {describe(tensor)}: set multiple= '
            'to the size of a patch in pixels, such as multiple=14.'
        )
    height, width = cells
    extra = tensor.shape[1] - height * width
    if not 0 <= extra <= _MAX_EXTRA_TOKENS:
        raise ValueError(
            f'the network returned {tensor.shape[1]} tokens for a grid of '
            f'{height}x{width} patches, expected {height * width} and up to '
            f'{_MAX_EXTRA_TOKENS} more (class token, registers). Set '
            'multiple= to the size of a patch in pixels.'
        )
    grid = tensor[:, extra:].transpose(1, 2)
    return grid.reshape(*grid.shape[:2], height, width)
