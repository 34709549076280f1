"""PCD's kernel against what the function without it makes, in float64."""

from importlib import import_module

import pytest
import torch
from torch.nn.functional import normalize

from mmdistill_dense import kernels
from mmdistill_dense.kernels.device import allows_tf32

#: The function hides the module of its name.
module = import_module('mmdistill_dense.functional.pixel_contrast')


@pytest.fixture(autouse=True)
def _exact():
    """No TF32 on a GPU: its products have 11 bits."""
    before = allows_tf32()
    torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


def given(cells, channels, columns, device):
    rows, targets = 3 * torch.randn(2, cells, channels, device=device)
    queue = normalize(torch.randn(channels, columns, device=device), dim=0)
    return rows, targets, queue


def expected(rows, targets, queue, tau, learns):
    logits = rows.new_empty(len(rows), queue.shape[1], dtype=torch.float64)
    doubled = (x.double() for x in (rows, targets, queue))
    return module._contrast_rows(*doubled, tau, logits, learns)


def assert_like_part(rows, targets, queue, tau=0.2, learns=True, atol=2e-6):
    actual = kernels.pixel_contrast(rows, targets, queue, tau, learns)
    reference = expected(rows, targets, queue, tau, learns)
    assert [x.dtype for x in actual] == [torch.float32] * 4
    # Errors of a cosine are divided by the temperature.
    atol = atol * max(1, 0.2 / tau)
    for x, y in zip(actual, reference, strict=True):
        torch.testing.assert_close(x.double(), y, rtol=2e-6, atol=atol)
    return actual


@pytest.mark.parametrize('learns', [True, False])
@pytest.mark.parametrize(
    ('cells', 'channels', 'columns'),
    [(1, 1, 1), (5, 3, 7), (70, 24, 130), (64, 16, 32), (33, 300, 70)],
)
def test_sizes(device, cells, channels, columns, learns):
    *_, gradient = assert_like_part(
        *given(cells, channels, columns, device), learns=learns
    )
    assert gradient.shape == ((cells if learns else 0), channels)
    assert bool(gradient.any()) == (learns and channels > 1)


@pytest.mark.parametrize(('columns', 'parts'), [(1000, 1), (2500, 3)])
@pytest.mark.parametrize('tau', [0.01, 0.2, 1, 5])
def test_a_queue_in_parts(device, sized, tau, columns, parts):
    from mmdistill_dense.kernels import contrast

    sized(contrast, 1000)
    rows, targets, queue = given(40, 20, columns, device)
    assert contrast._parts(1, queue)[1] == parts
    assert_like_part(rows, targets, queue, tau)


def test_rows_and_queues_in_other_layouts(device):
    rows, targets, queue = given(70, 24, 130, device)
    turned = [x.T.contiguous().T for x in (rows, targets, queue)]
    for i in range(3):
        one = [*(rows, targets, queue)]
        one[i] = turned[i]
        assert_like_part(*one)
    cut = [torch.cat([x, x], 1)[:, : x.shape[1]] for x in (rows, targets)]
    assert_like_part(*cut, torch.cat([queue, queue], 1)[:, 1:131])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_a_queue_in_half_precision(device, dtype):
    rows, targets, queue = given(70, 24, 130, device)
    assert_like_part(rows, targets, queue.to(dtype))


def test_extremes(device):
    rows, targets, queue = given(6, 3, 40, device)
    rows[0] = 0
    targets[1] = 0
    # Positives above every negative and below, 2,000 at this temperature.
    targets[2] = rows[2]
    targets[3] = -rows[3]
    queue[:, 7] = normalize(rows[3], dim=0)
    rows[4] *= 1e-13 / rows[4].norm()
    losses, *_, gradient = kernels.pixel_contrast(
        rows, targets, queue, 1e-3, True
    )
    reference = expected(rows, targets, queue, 1e-3, True)
    assert losses[3] >= 2000
    torch.testing.assert_close(
        losses.double(), reference[0], rtol=1e-5, atol=1e-3
    )
    scale = reference[3].norm(dim=1, keepdim=True) + 1e-3
    assert ((gradient - reference[3]).abs() / scale).max() < 1e-3


def test_no_rows(device):
    rows, targets, queue = given(0, 24, 130, device)
    actual = kernels.pixel_contrast(rows, targets, queue, 0.2, True)
    assert [tuple(x.shape) for x in actual] == [(0,), (0,), (0,), (0, 24)]


def test_it_follows_the_switch_for_tf32(device, set_tf32):
    from mmdistill_dense.kernels import contrast

    assert contrast.precision() == contrast.IEEE_PRECISION
    set_tf32(True)
    assert contrast.precision() == 'tf32'
    rows, targets, queue = given(70, 24, 130, device)
    assert_like_part(rows, targets, queue, atol=5e-3)


def test_a_gradient_is_not_recorded(device):
    rows, targets, queue = given(5, 3, 7, device)
    rows.requires_grad_()
    detached = assert_like_part(rows.detach(), targets, queue)
    recorded = kernels.pixel_contrast(rows, targets, queue, 0.2, True)
    assert not any(x.requires_grad for x in recorded)
    assert all(map(torch.equal, recorded, detached))
