"""When kernels are used, and that nothing pays for them before."""

import subprocess
import sys

import pytest
import torch

from mmdistill_dense.kernels import device as machines
from mmdistill_dense.kernels import fits, usable

LAZY = """
import sys
sys.modules['triton'] = None  # importing it fails from here on
import mmdistill_dense.functional, mmdistill_dense.kernels as kernels, torch
x = torch.ones(1, 2, 3, 4)
assert not kernels.usable(x)
mmdistill_dense.functional.channel_wise_divergence(student=x, teacher=x)
try:
    kernels.channel_wise(x, x, 1.0)
except ImportError:
    print('refused')
"""


def test_the_package_works_without_triton():
    done = subprocess.run(
        [sys.executable, '-c', LAZY],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == 'refused\n'


def test_cpu_tensors_never_count(monkeypatch):
    monkeypatch.setenv('TRITON_INTERPRET', '1')
    monkeypatch.setattr(machines, '_supports', lambda *_: True)
    x = torch.ones(1, 2, 3, 4)
    assert not usable(x, x)
    assert not usable()


class Cuda(torch.Tensor):
    """Says that it lies on a GPU."""

    is_cuda = True
    device = torch.device('cuda', 0)


@pytest.fixture
def pretended(monkeypatch):
    """A GPU of this capability, where kernels run."""

    def pretend(capability):
        monkeypatch.setattr(
            torch.cuda, 'get_device_capability', lambda _: capability
        )
        monkeypatch.setattr(machines, '_PLAIN', (Cuda,))
        monkeypatch.setattr(machines, 'runs', lambda _: True)

    return pretend


def on_gpu(dtype=torch.float32):
    return torch.ones(1, 2, 3, 4, dtype=dtype).as_subclass(Cuda)


@pytest.mark.parametrize(
    ('capability', 'dtypes', 'answer'),
    [
        ((9, 0), ['float32', 'float16', 'bfloat16'], True),
        ((8, 0), ['bfloat16'], True),
        ((7, 0), ['float32', 'float16'], True),
        ((7, 5), ['float32', 'bfloat16'], False),
        ((6, 1), ['float32'], False),
        ((9, 0), ['float32', 'float64'], False),
        ((9, 0), ['int64'], False),
    ],
)
def test_capabilities_and_dtypes(pretended, capability, dtypes, answer):
    pretended(capability)
    assert usable(*(on_gpu(getattr(torch, x)) for x in dtypes)) == answer


def test_other_tensors_do_not_count(pretended):
    pretended((9, 0))
    assert usable(on_gpu(), on_gpu())
    assert not usable(on_gpu(), torch.ones(1))
    other = on_gpu()
    other.device = torch.device('cuda', 1)
    assert not usable(on_gpu(), other)

    class Fake(Cuda):
        pass

    assert not usable(on_gpu(), torch.ones(1).as_subclass(Fake))


def test_not_while_compiling(pretended, monkeypatch):
    pretended((9, 0))
    assert usable(on_gpu())
    monkeypatch.setattr(torch.compiler, 'is_compiling', lambda: True)
    assert not usable(on_gpu())


def test_a_gpu_that_refuses_warns_once(monkeypatch):
    def refuse(device):
        raise RuntimeError('no C compiler')

    trial = pytest.importorskip('mmdistill_dense.kernels.trial')
    monkeypatch.setattr(trial, 'trial', refuse)
    machines.runs.cache_clear()
    with pytest.warns(UserWarning, match='slower: RuntimeError: no C comp'):
        assert not machines.runs(torch.device('cuda', 0))
    assert not machines.runs(torch.device('cuda', 0))
    machines.runs.cache_clear()


@pytest.mark.skipif(not torch.cuda.is_available(), reason='no CUDA device')
def test_this_gpu_is_used():
    device = torch.device('cuda', 0)
    capability = torch.cuda.get_device_capability(device)
    assert usable(torch.ones(2, device=device)) == (capability >= (7, 0))
    assert not usable(torch.ones(2, device=device, dtype=torch.float64))
    from mmdistill_dense.kernels.trial import trial

    assert trial(device).item() == 1
    assert machines.gpu_properties(device).multiprocessors > 1


@pytest.mark.parametrize(
    ('rows', 'queue', 'answer'),
    [
        ((5, 3), (3, 7), True),
        ((0, 512), (512, 1), True),
        ((5, 513), (513, 7), False),
        ((5, 3), (4, 7), False),
        ((5, 3), (3, 0), False),
        ((5, 3), (3,), False),
    ],
)
def test_what_fits(set_tf32, rows, queue, answer):
    for allowed in (True, False):
        set_tf32(allowed)
        fitting = fits(torch.ones(rows), torch.ones(queue))
        assert fitting == (answer and allowed)
