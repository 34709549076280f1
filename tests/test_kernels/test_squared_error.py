"""MasKD's kernel against plain torch in float64."""

import pytest
import torch

from mmdistill_dense import kernels

from . import maps
from .maps import each_dtype, each_pair, each_size, pair, plain


def assert_like_torch(student, teacher, difference=None):
    if difference is None:
        difference = torch.empty_like(student)
    difference.fill_(torch.nan)
    errors = kernels.squared_error(student, teacher, difference)
    apart = student.double() - teacher.double()
    expected = apart.square().mean(1)
    assert errors.dtype == torch.float32
    assert errors.is_contiguous()
    torch.testing.assert_close(errors.double(), expected, rtol=2e-6, atol=0)
    # Rounded twice: in float32 and to its dtype.
    rounding = maps.rounding(difference) * (1 + 2.0**-10)
    torch.testing.assert_close(
        difference.double(), apart, rtol=rounding, atol=1e-7
    )
    return difference


@each_size
@pytest.mark.parametrize('processors', [0, 1000])
def test_sizes(device, sized, size, processors):
    from mmdistill_dense.kernels import difference

    # Narrow tiles for machines that a small map does not fill.
    sized(difference, processors)
    assert assert_like_torch(*pair(size, (plain, plain), device)).any()


def test_without_a_difference(device):
    for other in (plain, maps.channels_last):
        both = pair((2, 5, 7, 9), (plain, other), device)
        errors = kernels.squared_error(*both)
        expected = (both[0].double() - both[1].double()).square().mean(1)
        torch.testing.assert_close(
            errors.double(), expected, rtol=2e-6, atol=0
        )


@each_pair
def test_layouts(device, layouts):
    for size in [(2, 5, 13, 17), (1, 300, 3, 5), (2, 3, 1, 7)]:
        assert assert_like_torch(*pair(size, layouts, device)).any()


@pytest.mark.parametrize('layout', maps.LAYOUTS[:5], ids=lambda f: f.__name__)
def test_layouts_of_the_difference(device, layout):
    student, teacher = pair((2, 5, 13, 17), (plain, plain), device)
    difference = layout(torch.zeros_like(student))
    assert_like_torch(student, teacher, difference)
    if layout in (maps.sliced, maps.stepped):
        around = difference._base
        assert around.isnan().sum() == around.numel() - difference.numel()


@each_dtype
@pytest.mark.parametrize('other', [None, torch.float32, torch.float16])
def test_dtypes(device, dtype, other):
    dtypes = dtype, other or dtype
    for layouts in [(plain, plain), (maps.channels_last, plain)]:
        both = pair((2, 37, 13, 17), layouts, device, dtypes)
        assert assert_like_torch(*both).dtype == dtype


def test_large_values(device):
    student, teacher = pair((2, 3, 9, 11), (plain, plain), device)
    student[0] += 1e4
    assert_like_torch(student, teacher)


def test_equal_maps(device):
    student, _ = pair((2, 3, 9, 11), (plain, plain), device)
    difference = torch.full_like(student, torch.nan)
    errors = kernels.squared_error(student, student.clone(), difference)
    assert not errors.any()
    assert not difference.any()


@maps.each_far
def test_cells_past_two_to_the_31(device, dimension):
    student, teacher = maps.far(device, dimension)
    difference = torch.empty(student.shape, device=device)
    assert assert_like_torch(student, teacher, difference).any()
    near = student.clone(), teacher.clone()
    assert assert_like_torch(*near, student).any()
