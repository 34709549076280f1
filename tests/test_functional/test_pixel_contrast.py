"""PCD's contrast against the plain form: cross-entropy of all logits."""

import math
import subprocess
import sys
from importlib import import_module

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn.functional import cross_entropy, normalize
from torch.utils._python_dispatch import TorchDispatchMode

from mmdistill_dense.functional import (
    pixel_contrast,
    pixel_contrast_statistics,
)

#: The function hides the module of its name.
module = import_module('mmdistill_dense.functional.pixel_contrast')


@pytest.fixture
def given(maps):
    """Maps (2, 3, 4, 5), and a queue of 7 unit columns, in float64."""
    student, teacher = maps
    generator = torch.Generator().manual_seed(1)
    queue = torch.randn(3, 7, dtype=torch.float64, generator=generator)
    return dict(
        student=student, teacher=teacher, queue=normalize(queue, dim=0)
    )


def logits(student, teacher, queue, tau=0.2, valid=None):
    """The positive and all negatives of each cell, (M, 1 + K)."""
    s, t = (
        normalize(x, dim=1).permute(0, 2, 3, 1) for x in (student, teacher)
    )
    every = torch.cat([(s * t).sum(-1, keepdim=True), s @ queue], -1)
    return every.flatten(0, 2)[... if valid is None else valid.flatten()] / tau


def plain(**given):
    every = logits(**given)
    return cross_entropy(every, torch.zeros(len(every), dtype=torch.long))


def differentiated(function, student, **given):
    """Value and gradient with respect to the student."""
    student = student.detach().requires_grad_()
    value = function(student=student, **given)
    value.backward()
    return value.detach(), student.grad


def assert_like_plain(given, plain_tolerance=1e-14, **settings):
    actual = differentiated(pixel_contrast, **given, **settings)
    settings.pop('chunk', None)
    expected = differentiated(plain, **given, **settings)
    torch.testing.assert_close(actual, expected, rtol=0, atol=plain_tolerance)


def test_a_value_derived_by_hand():
    # s = (0.6, 0.8), t = (1, 0), one negative (0, 1), tau 1/2:
    # -log(e^1.2 / (e^1.2 + e^1.6)) = log(1 + e^0.4)
    maps = dict(
        student=torch.tensor([3.0, 4.0]).view(1, 2, 1, 1),
        teacher=torch.tensor([0.1, 0.0]).view(1, 2, 1, 1),
    )
    queue = torch.tensor([[0.0], [1.0]])
    value, stats = pixel_contrast_statistics(**maps, queue=queue, tau=0.5)
    assert value.item() == pytest.approx(math.log(1 + math.exp(0.4)))
    assert {k: round(v.item(), 6) for k, v in stats.items()} == dict(
        positive=0.6, hardest=0.8, top1=0.0
    )


@pytest.mark.parametrize('tau', [0.01, 0.2, 1, 5])
def test_value_and_gradient_are_those_of_the_plain_form(given, tau):
    # The gradient grows as 1 / tau does.
    assert_like_plain(given, 1e-14 * max(1, 1 / tau), tau=tau)


@pytest.mark.parametrize('chunk', [1, 7, 39, 40, 41])
def test_any_chunk_gives_the_same(given, chunk):
    assert_like_plain(given, chunk=chunk)


def test_cells_may_be_chosen(given):
    valid = torch.arange(2 * 4 * 5).view(2, 4, 5) % 3 == 0
    assert_like_plain(given, valid=valid, chunk=4)
    assert_like_plain(given, valid=torch.ones_like(valid))
    _, gradient = differentiated(pixel_contrast, **given, valid=valid)
    assert not gradient.permute(0, 2, 3, 1)[~valid].any()


def test_nothing_to_compare_is_exactly_zero(given):
    none = torch.zeros(2, 4, 5, dtype=torch.bool)
    given['student'] = torch.full_like(given['student'], torch.inf)
    value, gradient = differentiated(pixel_contrast, **given, valid=none)
    assert value.item() == 0
    assert not gradient.any()
    _, stats = pixel_contrast_statistics(**given, valid=none)
    assert [v.item() for v in stats.values()] == [0, 0, 0]


def test_cells_without_a_length_are_those_of_normalize(given):
    student = given['student'].detach().clone()
    student[0, :, 1, 2] = 0
    student[1, :, 0, 0] *= 1e-13 / student[1, :, 0, 0].norm()
    given['student'] = student
    for cell in ((0, slice(None), 1, 2), (1, slice(None), 0, 0)):
        gradients = [
            differentiated(f, **given)[1][cell]
            for f in (pixel_contrast, plain)
        ]
        torch.testing.assert_close(*gradients, rtol=1e-12, atol=0)
        assert gradients[0].norm() > 1e9


def test_gradcheck(given):
    student = given.pop('student')
    valid = torch.arange(2 * 4 * 5).view(2, 4, 5) % 4 > 0

    def contrast(s):
        value = pixel_contrast(student=s, **given, valid=valid, chunk=8)
        return 3 * value

    assert gradcheck(contrast, (student,))


def test_extreme_temperatures_stay_finite(given):
    given = {k: v.detach().float() for k, v in given.items()}
    # The positive is the smallest logit of all, 2,000 below the largest.
    given['student'][:] = torch.tensor([1.0, 0, 0]).view(3, 1, 1)
    given['teacher'] = -given['student']
    given['queue'][:, 0] = torch.tensor([1.0, 0, 0])
    value, gradient = differentiated(pixel_contrast, **given, tau=1e-3)
    assert value.item() == pytest.approx(2000)
    assert torch.isfinite(gradient).all()
    given['teacher'] = given['student']
    given['queue'] = -given['student'][0, :, 0, :1]
    value, gradient = differentiated(pixel_contrast, **given, tau=1e-3)
    assert value.item() == 0
    assert not gradient.any()


def test_at_random_it_is_the_logarithm_of_the_queue():
    # Cosines of random vectors have variance 1 / C, so the mean of the
    # negatives is exp(1 / (2 C tau^2)).
    torch.manual_seed(0)
    size, columns, tau = (4, 64, 7, 7), 8192, 0.2
    queue = normalize(torch.randn(64, columns), dim=0)
    value = pixel_contrast(
        student=torch.randn(size), teacher=torch.randn(size), queue=queue
    )
    expected = math.log(1 + columns * math.exp(1 / (2 * 64 * tau**2)))
    assert value.item() == pytest.approx(expected, abs=0.05)


def test_statistics_are_those_of_the_logits(given):
    valid = torch.arange(2 * 4 * 5).view(2, 4, 5) % 3 > 0
    # Some positives above every negative.
    given['teacher'][0] = given['student'].detach()[0]
    every = 0.2 * logits(**given, valid=valid)
    hardest = every[:, 1:].amax(1)
    value, stats = pixel_contrast_statistics(**given, valid=valid, chunk=9)
    expected = dict(
        positive=every[:, 0].mean(),
        hardest=hardest.mean(),
        top1=(every.argmax(1) == 0).double().mean(),
    )
    assert 0.2 < expected['top1'] < 0.8
    for name, number in expected.items():
        assert stats[name].item() == pytest.approx(number.item(), abs=1e-14)
        assert not stats[name].requires_grad
    assert value == pixel_contrast(**given, valid=valid, chunk=9)


def test_any_memory_format(given):
    expected = differentiated(pixel_contrast, **given)
    for name in ('student', 'teacher'):
        last = given[name].to(memory_format=torch.channels_last)
        turned = given[name].transpose(2, 3).contiguous().transpose(2, 3)
        for other in (last, turned):
            got = differentiated(pixel_contrast, **{**given, name: other})
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_follows_float32(dtype):
    # A cell's gradient is about 1e-6: in fp16 it is there by the scale only.
    torch.manual_seed(0)
    size = (1, 8, 200, 336)
    student, teacher = (5 * torch.randn(2, *size)).to(dtype)
    queue = normalize(torch.randn(8, 32), dim=0).to(dtype)
    results = {}
    for precision in (torch.float32, dtype):
        leaf = student.to(precision).requires_grad_()
        value = pixel_contrast(
            student=leaf,
            teacher=teacher.to(precision),
            queue=queue.to(precision),
        )
        (value * 2.0**16).backward()
        results[precision] = value, leaf.grad.float()
    (full, expected), (value, gradient) = results.values()
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(full.item(), rel=1e-6)
    assert (gradient - expected).norm() / expected.norm() < 4e-3
    assert (gradient == 0).float().mean() < 1e-3


def test_a_queue_in_float32_beside_maps_in_half_precision(given):
    half = {k: given[k].bfloat16() for k in ('student', 'teacher')}
    value = pixel_contrast(**half, queue=given['queue'].float())
    expected = pixel_contrast(**given).item()
    assert value.item() == pytest.approx(expected, rel=1e-2)


def test_the_queue_is_not_reached_or_changed(given):
    before = given['queue'].clone()
    given['queue'].requires_grad_()
    pixel_contrast(**given).backward()
    assert given['queue'].grad is None
    assert torch.equal(given['queue'], before)


class Watch(TorchDispatchMode):
    """The largest tensor that an operation gave, and the products taken."""

    def __init__(self):
        super().__init__()
        self.largest = 0
        self.products = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.products += function.overloadpacket is torch.ops.aten.mm
        if isinstance(result, torch.Tensor):
            self.largest = max(self.largest, result.numel())
        return result


@pytest.mark.parametrize(('learns', 'products'), [(True, 2), (False, 1)])
def test_the_logits_are_never_there_at_once(monkeypatch, learns, products):
    # One product for each chunk, with its gradient two.
    assert module._LOGITS_BYTES == 2**26
    monkeypatch.setattr(module, '_LOGITS_BYTES', 2**20)
    torch.manual_seed(0)
    size, columns = (8, 4, 7, 7), 4096
    student = torch.randn(size, requires_grad=learns)
    queue = normalize(torch.randn(4, columns), dim=0)
    with Watch() as watch:
        value = pixel_contrast(
            student=student, teacher=torch.randn(size), queue=queue
        )
        if learns:
            value.backward()
    assert watch.largest * 4 == 2**20
    chunks = math.ceil(8 * 49 * columns * 4 / 2**20)
    assert watch.products == chunks * products == 7 * products


def test_one_map_is_kept_for_the_gradient(given):
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda x: saved.append(x.numel()) or x, lambda x: x
    ):
        pixel_contrast(**given)
    assert saved == [given['student'].numel()]


PEAK = """
import re
from pathlib import Path
import torch
from torch.nn.functional import normalize
from mmdistill_dense.functional import pixel_contrast

def mebibytes(of):
    text = Path('/proc/self/status').read_text()
    return int(re.search(of + r':\\s+(\\d+)', text)[1]) / 1024

torch.set_num_threads(1)
queue = normalize(torch.randn(256, 65536), dim=0)
student, teacher = torch.randn(2, 128, 256, 7, 7)
# What libraries allocate once is no part of it.
pixel_contrast(
    student=student[:1].requires_grad_(), teacher=teacher[:1], queue=queue
).backward()
student.requires_grad_()
Path('/proc/self/clear_refs').write_text('5')  # forgets the peak so far
before = mebibytes('VmRSS')
pixel_contrast(student=student, teacher=teacher, queue=queue).backward()
print(mebibytes('VmHWM') - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_memory_at_full_size():
    # The plain form takes 1.53 GiB for the logits alone, and that twice.
    done = subprocess.run(
        [sys.executable, '-c', PEAK],
        check=True,
        capture_output=True,
        text=True,
    )
    assert 64 < float(done.stdout) < 256


@pytest.mark.parametrize(
    ('changes', 'error', 'message'),
    [
        (
            dict(queue=torch.ones(4, 7).double() / 2),
            ValueError,
            r'queue \(4, 7\) does not fit maps of shape \(2, 3, 4, 5\)',
        ),
        (dict(queue=torch.ones(3).double()), ValueError, r'queue \(3,\)'),
        (dict(queue=torch.ones(3, 0)), ValueError, r'queue \(3, 0\)'),
        (dict(queue=torch.ones(3, 7)), ValueError, r'differs by 0\.732'),
        (dict(queue=torch.zeros(3, 5000)), ValueError, 'differs by 1'),
        (dict(queue=torch.ones(3, 7) * torch.nan), ValueError, 'by nan'),
        (dict(queue=[1.0]), TypeError, r'queue must be .*, got list'),
        (dict(tau=0), ValueError, 'tau must be a finite number above 0'),
        (dict(chunk=0), ValueError, 'chunk must be an integer >= 1, got 0'),
        (dict(chunk=2.5), ValueError, r'chunk must be .* got 2\.5'),
        (
            dict(valid=torch.ones(2, 5, 4, dtype=torch.bool)),
            ValueError,
            r'must have shape \(2, 4, 5\) .* got \(2, 5, 4\)',
        ),
        (dict(valid=torch.ones(2, 4, 5)), TypeError, 'got torch.float32'),
        (dict(valid=True), TypeError, 'valid must be a bool tensor .* bool'),
        (
            dict(teacher=torch.zeros(2, 3, 4, 4)),
            ValueError,
            r'student \(2, 3, 4, 5\) and teacher \(2, 3, 4, 4\) differ',
        ),
    ],
)
def test_what_it_refuses(given, changes, error, message):
    with pytest.raises(error, match=message):
        pixel_contrast(**{**given, **changes})


def test_a_queue_in_half_precision_has_unit_columns():
    queue = normalize(torch.randn(8, 3000), dim=0)
    maps = torch.randn(2, 1, 8, 2, 2)
    for dtype in (torch.float16, torch.bfloat16):
        value = pixel_contrast(
            student=maps[0], teacher=maps[1], queue=queue.to(dtype)
        )
        assert torch.isfinite(value)
