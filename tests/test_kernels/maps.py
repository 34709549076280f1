"""Maps in all layouts and dtypes that kernels have to take."""

import pytest
import torch

SIZES = [(2, 3, 1, 1), (2, 3, 1, 7), (1, 3, 7, 1), (2, 3, 13, 17)]
SIZES += [(1, 2, 33, 65)]

each_size = pytest.mark.parametrize(
    'size', SIZES, ids=lambda size: 'x'.join(map(str, size))
)
each_dtype = pytest.mark.parametrize(
    'dtype', [torch.float32, torch.float16, torch.bfloat16], ids=str
)


def rounding(x):
    """What a result of this dtype may be off by, relative to itself."""
    unit = torch.finfo(x.dtype).eps / 2
    # Triton's interpreter cuts bfloat16 off where a GPU rounds it.
    cut = x.dtype == torch.bfloat16 and not x.is_cuda
    return 2 * unit if cut else unit


def plain(x):
    return x.contiguous()


def channels_last(x):
    # Strides of dimensions of size 1, too.
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def turned(x):
    """Columns before rows."""
    return x.transpose(2, 3).contiguous().transpose(2, 3)


def sliced(x):
    """The inside of a larger map."""
    n, c, h, w = x.shape
    around = x.new_full((n + 1, c + 2, h + 3, w + 2), torch.nan)
    inside = around[1:, 1:-1, 2:-1, 1:-1]
    inside.copy_(x)
    return inside


def stepped(x):
    """Every second cell of a larger map."""
    around = x.new_full((*x.shape[:3], 2 * x.shape[3]), torch.nan)
    around[..., ::2] = x
    return around[..., ::2]


def expanded(x):
    """One image for all."""
    return x[:1].contiguous().expand_as(x)


def one_channel(x):
    return x[:, :1].contiguous().expand_as(x)


LAYOUTS = [plain, channels_last, turned, sliced, stepped]
LAYOUTS += [expanded, one_channel]
#: Student's and teacher's: each with itself and with its neighbour.
PAIRS = [(x, x) for x in LAYOUTS]
PAIRS += list(zip(LAYOUTS, LAYOUTS[1:] + LAYOUTS[:1], strict=True))

each_pair = pytest.mark.parametrize(
    'layouts', PAIRS, ids=lambda pair: '-'.join(f.__name__ for f in pair)
)


def pair(size, layouts, device, dtypes=(torch.float32, torch.float32)):
    """Student and teacher of standard deviation 3."""
    return [
        layout((3 * torch.randn(size)).to(device, dtype))
        for layout, dtype in zip(layouts, dtypes, strict=True)
    ]


#: The dimension along which a map is far longer than 2^31 cells.
each_far = pytest.mark.parametrize('dimension', [0, 1, 2])


def far(device, dimension):
    """Student and teacher whose last image, channel or row lies past 2^31.

    Its step fits 32 bits, what lies before it does not. The memory between
    is never touched, and so never there.
    """
    cells = torch.empty(2**31 + 2**10, device=device, dtype=torch.float16)
    size, steps = [2, 2, 2, 5], [[40, 20, 5, 1], [1, 2, 30, 4]]
    size[dimension] = 3
    for step in steps:
        step[dimension] = 2**30
    student, teacher = (
        cells.as_strided(size, step, offset)
        for step, offset in zip(steps, (0, 2**9), strict=True)
    )
    for x in (student, teacher):
        x.copy_(torch.randn(size))
    return student, teacher
