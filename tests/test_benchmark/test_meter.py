"""Bytes against allocations that are known."""

import pytest
import torch

from mmdistill_tools.benchmark.meter import (
    Peak,
    measure,
    saved_bytes,
    synchronizations,
)

FLOATS = 2**18  # a MiB
MIB = 2**20
SMALL = 4096  # bytes, of scalars


def close(found, peak, net):
    return abs(found.peak - peak) < SMALL and abs(found.net - net) < SMALL


def test_the_peak_is_where_most_is_alive():
    def run():
        a = torch.empty(FLOATS)
        b = torch.empty(2 * FLOATS)
        del a
        return torch.empty(FLOATS // 2), b

    assert close(measure(run), 3 * MIB, 0)


def test_what_stays_is_the_net():
    kept = []
    assert close(measure(lambda: kept.append(torch.empty(FLOATS))), MIB, MIB)
    # It was there before, so it only goes.
    assert measure(kept.clear) == Peak(0, -MIB)


def test_a_view_is_no_allocation():
    x = torch.empty(FLOATS)
    assert measure(lambda: x.view(2, -1)[1]) == Peak(0, 0)


def test_forward_and_backward_are_seen():
    x = torch.randn(FLOATS, requires_grad=True)

    def run():
        # The exponential is saved, its gradient made of an expanded 1.
        return torch.autograd.grad(x.exp().sum(), x)

    assert close(measure(run), 2 * MIB, 0)


def test_an_error_passes_and_a_later_measure_works():
    def fails():
        raise ValueError('no')

    with pytest.raises(ValueError, match='no'):
        measure(fails)
    assert close(measure(lambda: torch.empty(FLOATS)), MIB, 0)


def test_saved_bytes_count_each_storage_once():
    x = torch.randn(FLOATS, requires_grad=True)
    assert saved_bytes(lambda: x.exp()) == MIB
    assert saved_bytes(lambda: x * x) == MIB  # x, saved twice
    assert saved_bytes(lambda: x + 1) == 0
    # A small view keeps all of what it is a view of.
    assert saved_bytes(lambda: x[:4].square()) == MIB


def test_saved_bytes_see_what_a_function_keeps():
    class Keeps(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x.new_empty(3 * len(x)))
            return x.sum()

        @staticmethod
        def backward(ctx, grad):
            return grad.expand(len(ctx.saved_tensors[0]) // 3)

    x = torch.randn(FLOATS, requires_grad=True)
    assert saved_bytes(lambda: Keeps.apply(x)) == 3 * MIB


def test_nothing_is_saved_without_gradients():
    x = torch.randn(FLOATS)
    assert saved_bytes(lambda: x.exp()) == 0


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
def test_a_gpu_has_its_own_statistics():
    kept = []

    def run():
        kept.append(torch.empty(FLOATS, device='cuda'))
        torch.empty(2 * FLOATS, device='cuda')

    assert measure(run, 'cuda') == Peak(3 * MIB, MIB)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
def test_what_waits_for_the_gpu_is_counted():
    x = torch.ones(3, device='cuda')
    assert synchronizations(lambda: x + 1) == 0
    assert synchronizations(lambda: x.sum().item() + x.max().item()) == 2
    assert torch.cuda.get_sync_debug_mode() == 0
