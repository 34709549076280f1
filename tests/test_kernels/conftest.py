"""Where kernels run: on a GPU, or where a subprocess interprets them."""

import os

import pytest
import torch

from mmdistill_dense.kernels import device as machines


@pytest.fixture
def device():
    """A device whose tensors kernels take here.

    Triton reads its flag when it is imported, which other tests have done by
    now: ``test_interpreted`` runs the files that ask for this in a process
    of their own.
    """
    pytest.importorskip('triton')
    if os.environ.get('TRITON_INTERPRET') == '1':
        return torch.device('cpu')
    if not torch.cuda.is_available():
        pytest.skip('no CUDA device; test_interpreted.py runs this test too')
    return torch.device('cuda', torch.cuda.current_device())


def by_the_old_switch(allowed):
    torch.backends.cuda.matmul.allow_tf32 = allowed


def by_the_new_switch(allowed):
    matmul = torch.backends.cuda.matmul
    if not hasattr(matmul, 'fp32_precision'):
        pytest.skip('torch before 2.9 has no fp32_precision')
    matmul.fp32_precision = 'tf32' if allowed else 'ieee'


@pytest.fixture(params=[by_the_old_switch, by_the_new_switch])
def set_tf32(request):
    """Allow TF32 products or not, by each of torch's switches."""
    before = machines.allows_tf32()
    yield request.param
    by_the_old_switch(before)


@pytest.fixture
def sized(monkeypatch):
    """Let kernels believe in a machine of so many processors."""

    def size(module, multiprocessors):
        def gpu_properties(device):
            return machines.GpuProperties(multiprocessors, cache=2**12)

        monkeypatch.setattr(module, 'gpu_properties', gpu_properties)

    return size
