"""CWD's kernels against its formula in float64."""

from types import SimpleNamespace

import pytest
import torch

from mmdistill_dense import kernels

from . import maps
from .maps import each_dtype, each_pair, each_size, pair, plain

# Both ways that a GPU may go, whatever its size: one processor, and every
# program takes several channels; or a thousand, and channels are cut.
each_way = pytest.mark.parametrize('way', ['rows', 'tiles'])


@pytest.fixture
def divergence(device, sized, monkeypatch):
    """The function, and which way it went."""
    from mmdistill_dense.kernels import (
        divergence,
        divergence_rows,
        divergence_tiles,
    )

    gone = []
    modules = dict(rows=divergence_rows, tiles=divergence_tiles)
    for name, module in modules.items():
        way = module.channel_wise

        def noted(*args, name=name, way=way, **kwargs):
            gone.append(name)
            return way(*args, **kwargs)

        monkeypatch.setattr(module, 'channel_wise', noted)

    def size(way):
        for module in (divergence, *modules.values()):
            sized(module, dict(rows=1, tiles=1000)[way])

    return SimpleNamespace(size=size, gone=gone)


def formula(student, teacher, tau):
    """Divergences (N, C), and p_S - p_T, in float64."""
    log_p, log_q = (
        torch.log_softmax(x.double().flatten(2) / tau, -1)
        for x in (teacher, student)
    )
    apart = log_q.exp() - log_p.exp()
    divergences = (log_p.exp() * (log_p - log_q)).sum(-1)
    return divergences, apart.view(student.shape)


def assert_like_formula(student, teacher, tau=1.0, scale=1.0, gradient=None):
    before = [x.clone() for x in (student, teacher)]
    if gradient is None:
        gradient = torch.empty_like(student)
    gradient.fill_(torch.nan)
    value = kernels.channel_wise(student, teacher, tau, gradient, scale)
    expected, apart = formula(student, teacher, tau)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), expected, rtol=3e-6, atol=3e-6)
    # Of a difference of probabilities, each has its own error.
    error = (gradient.double() / scale - apart).abs()
    allowed = apart.abs() * maps.rounding(gradient) + 2e-6
    assert (error <= allowed).all(), error.max()
    for x, was in zip((student, teacher), before, strict=True):
        assert torch.equal(x, was)
    return gradient


@each_way
@each_size
def test_sizes(device, divergence, way, size):
    divergence.size(way)
    student, teacher = pair(size, (plain, plain), device)
    gradient = assert_like_formula(student, teacher)
    assert divergence.gone == [way]
    assert gradient.any() == (size[2] * size[3] > 1)


@each_way
@pytest.mark.parametrize('tau', [0.5, 1, 4])
def test_temperatures(device, divergence, way, tau):
    divergence.size(way)
    both = pair((2, 3, 7, 9), (plain, plain), device)
    assert assert_like_formula(*both, tau).any()


@each_way
def test_without_a_gradient(device, divergence, way):
    divergence.size(way)
    for other in (plain, maps.channels_last):
        both = pair((2, 3, 7, 9), (plain, other), device)
        value = kernels.channel_wise(*both, 2.0)
        expected, _ = formula(*both, 2.0)
        torch.testing.assert_close(
            value.double(), expected, rtol=3e-6, atol=3e-6
        )
    assert divergence.gone == [way, 'tiles']


@each_pair
def test_layouts(device, divergence, layouts):
    divergence.size('rows')
    assert_like_formula(*pair((2, 3, 13, 17), layouts, device))
    in_order = {plain, maps.expanded, maps.one_channel}
    assert set(divergence.gone) == {
        'rows' if set(layouts) <= in_order else 'tiles'
    }
    assert_like_formula(*pair((2, 3, 1, 7), layouts, device))
    if maps.channels_last in layouts:
        # More than a tile has.
        assert_like_formula(*pair((1, 70, 2, 3), layouts, device))


@pytest.mark.parametrize('layout', maps.LAYOUTS[:5], ids=lambda f: f.__name__)
@each_way
def test_layouts_of_the_gradient(device, divergence, way, layout):
    divergence.size(way)
    student, teacher = pair((2, 3, 13, 17), (plain, plain), device)
    gradient = layout(torch.zeros_like(student))
    assert_like_formula(student, teacher, gradient=gradient)
    if layout in (maps.sliced, maps.stepped):
        assert torch.isnan(gradient._base).sum() > 0
        assert gradient._base.isnan().sum() == (
            gradient._base.numel() - gradient.numel()
        )


@each_way
@each_dtype
@pytest.mark.parametrize('other', [None, torch.float32, torch.float16])
def test_dtypes(device, divergence, way, dtype, other):
    divergence.size(way)
    dtypes = dtype, other or dtype
    layouts = maps.plain, maps.plain if way == 'rows' else maps.channels_last
    student, teacher = pair((2, 3, 13, 17), layouts, device, dtypes)
    gradient = assert_like_formula(student, teacher, 2.0, scale=2.0**15)
    assert gradient.dtype == dtype
    assert set(divergence.gone) == {way}


@each_way
def test_channels_longer_than_a_tile(device, divergence, way):
    divergence.size(way)
    size = (1, 2, 100, 150)
    for layouts in [(plain, plain), (maps.channels_last,) * 2]:
        assert_like_formula(*pair(size, layouts, device), 4.0)
    assert divergence.gone[0] == way


def test_parts_are_several(device, divergence):
    divergence.size('tiles')
    from mmdistill_dense.kernels.divergence_tiles import tiling_of
    from mmdistill_dense.kernels.strides import map_strides

    for arrange in (plain, maps.channels_last):
        student, teacher = pair((1, 2, 170, 150), (arrange,) * 2, device)
        cut = tiling_of(student, map_strides(student, teacher))
        assert cut.parts > 2
        assert cut.part_size * cut.parts >= 170 * 150


@each_way
@pytest.mark.parametrize('tau', [0.5, 1, 4])
def test_large_logits(device, divergence, way, tau):
    divergence.size(way)
    student, teacher = pair((2, 3, 9, 11), (plain, plain), device)
    # Peaks at different places, at the end and the start of a channel.
    student[0, :, -1, -1] = 1e4
    teacher[0, :, 0, 0] = 1e4
    # One constant on both counts nothing.
    student[1] += 1e4
    teacher[1] -= 1e4
    assert_like_formula(student, teacher, tau)


@each_way
def test_equal_maps_do_not_diverge(device, divergence, way):
    divergence.size(way)
    student, _ = pair((2, 3, 9, 11), (plain, plain), device)
    gradient = torch.full_like(student, torch.nan)
    value = kernels.channel_wise(student, student.clone(), 1.0, gradient)
    assert value.abs().max() == 0
    # A GPU fuses a product with the difference, and rounds the other alone.
    assert gradient.abs().max() <= 2.0**-24


@each_way
def test_what_is_not_finite_shows(device, divergence, way):
    divergence.size(way)
    for bad in (torch.nan, torch.inf):
        for side in range(2):
            both = pair((1, 2, 9, 11), (plain, plain), device)
            both[side][0, 1, 3, 4] = bad
            value = kernels.channel_wise(*both, 1.0)
            assert value.isfinite().tolist() == [[True, False]]


def test_small_probabilities_survive_float16(device, divergence):
    # Of 20,000 positions each has about 5e-5, and float16 steps of 6e-8.
    divergence.size('rows')
    student, teacher = (
        torch.randn(1, 1, 100, 200, device=device) / 10 for _ in range(2)
    )
    gradients = []
    for scale in (1.0, 2.0**15):
        gradient = torch.empty_like(student, dtype=torch.float16)
        kernels.channel_wise(student, teacher, 4.0, gradient, scale)
        gradients.append(gradient.double() / scale)
    _, apart = formula(student, teacher, 4.0)
    errors = [(g - apart).norm() / apart.norm() for g in gradients]
    assert errors[0] > 5e-3
    assert errors[1] < 1e-3


@maps.each_far
def test_cells_past_two_to_the_31(device, divergence, dimension):
    divergence.size('tiles')
    student, teacher = maps.far(device, dimension)
    gradient = torch.empty(student.shape, device=device)
    assert_like_formula(student, teacher, gradient=gradient)
    # Where it is the gradient that goes that far.
    near = student.clone(), teacher.clone()
    assert_like_formula(*near, gradient=student)
    divergence.size('rows')
    student, _ = maps.far(device, dimension)
    assert_like_formula(student, near[1].contiguous(), gradient=gradient)
    ways = 'tiles', 'tiles', 'tiles' if dimension == 2 else 'rows'
    assert divergence.gone == list(ways)
