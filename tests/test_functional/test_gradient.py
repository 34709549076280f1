"""What every loss computes in half precision, keeps, allocates and hands out.

Bytes and counts, not seconds: a guard that a busy machine cannot trip.
"""

from types import SimpleNamespace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmdistill_dense.functional import (
    box_masks,
    channel_wise_divergence,
    correlation_distance,
    cosine_distance,
    edge_divergence,
    focal_global_distances,
    focal_score_distance,
    masked_distance,
    mean_squared_distance,
    pixel_contrast,
    pixel_wise_divergence,
    smooth_l1_distance,
)
from mmdistill_tools.benchmark.meter import measure, saved_bytes


def masked(*, student, teacher):
    """Six masks, as on a level of a detector."""
    rng = torch.Generator().manual_seed(1)
    n, _, h, w = student.shape
    masks = torch.rand(n, 6, h, w, generator=rng).to(student.device)
    return masked_distance(student=student, teacher=teacher, masks=masks)


def contrast(*, student, teacher):
    rng = torch.Generator().manual_seed(1)
    queue = torch.randn(student.shape[1], 50, generator=rng)
    queue = torch.nn.functional.normalize(queue, dim=0).to(student)
    return pixel_contrast(
        student=student, teacher=teacher, queue=queue, chunk=7
    )


def focal_global(*, student, teacher):
    """FGD of images with one box each, with its weights, without contexts."""
    n, c, h, w = student.shape
    boxes = [torch.tensor([[0.0, 0, w / 2, h / 3]])] * n
    masks = box_masks(boxes, (h, w), student)
    found = focal_global_distances(
        student=student,
        teacher=teacher,
        foreground=masks[0],
        background=masks[1],
        shift=torch.linspace(-1, 1, c).to(student.device).expand(n, c),
    )
    weights = 1e-3, 5e-4, 5e-4, 5e-6
    return sum(w * x for w, x in zip(weights, found, strict=True))


def weights_like(student, *priors):
    rng = torch.Generator().manual_seed(1)
    n, _, *grid = student.shape
    return torch.rand(n, *priors, *grid, generator=rng).to(student.device)


def edges(*, student, teacher):
    weight = weights_like(student)
    maps = dict(student=student, teacher=teacher)
    return edge_divergence(**maps, weight=weight, tau=10.0) / weight.numel()


def scores(*, student, teacher):
    """As those of two anchors."""
    weight = weights_like(student, 2)
    maps = dict(student=student, teacher=teacher)
    return focal_score_distance(**maps, weight=weight) / weight.numel()


#: Saved bytes over the student's map, in float32 and in half precision.
LOSSES = {
    channel_wise_divergence: (1.0, 1.0),
    pixel_wise_divergence: (1.0, 1.0),
    masked: (1.1, 1.1),
    correlation_distance: (1.0, 1.0),
    cosine_distance: (1.0, 1.0),
    mean_squared_distance: (1.0, 1.0),
    focal_global: (2.1, 2.2),  # both maps, as they are given
    edges: (1.0, 1.0),
    scores: (1.0, 1.0),
}


@pytest.fixture(params=[*LOSSES, contrast], ids=lambda f: f.__name__)
def loss(request):
    return request.param


def draw(*shape, dtype=torch.float32):
    maps = (torch.randn(shape).to(dtype) for _ in range(2))
    student, teacher = maps
    return dict(student=student.requires_grad_(), teacher=teacher)


each_loss = pytest.mark.parametrize(
    'loss', [*LOSSES, contrast, smooth_l1_distance], ids=lambda f: f.__name__
)


@each_loss
def test_no_gradient_reaches_the_teacher_and_no_map_is_changed(loss):
    maps = draw(2, 8, 5, 6)
    maps['teacher'].requires_grad_()
    before = {k: v.detach().clone() for k, v in maps.items()}
    loss(**maps).backward()
    assert maps['student'].grad.abs().max() > 0
    assert maps['teacher'].grad is None
    assert all(torch.equal(before[k], v) for k, v in maps.items())


@each_loss
def test_float32_inside_autocast(loss):
    maps = draw(2, 8, 5, 6)
    (expected := loss(**maps)).backward()
    gradient, maps['student'].grad = maps['student'].grad, None
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = loss(**maps)
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() == expected.item()
    assert torch.equal(maps['student'].grad, gradient)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    'loss',
    [
        channel_wise_divergence,
        pixel_wise_divergence,
        edges,
        scores,
        smooth_l1_distance,
    ],
    ids=lambda f: f.__name__,
)
def test_half_precision_follows_float32(loss, dtype):
    # 200x336 is P2 of a 800x1333 image: the gradient of one value is around
    # 1e-6 there, of which fp16 keeps few digits without a loss scale such
    # as GradScaler's.
    drawn, grads = draw(1, 16, 200, 336, dtype=dtype), {}
    for precision in (torch.float32, dtype):
        # Both start from the rounded maps, so only the loss differs.
        maps = {k: v.detach().to(precision) for k, v in drawn.items()}
        value = loss(
            student=maps['student'].requires_grad_(), teacher=maps['teacher']
        )
        assert value.dtype == torch.float32
        (value * 2.0**16).backward()
        grads[precision] = maps['student'].grad.float()
    full, half = grads.values()
    assert (half - full).norm() / full.norm() < 4e-3
    assert (half == 0).float().mean() < 0.01


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
@pytest.mark.parametrize('loss', LOSSES, ids=lambda f: f.__name__)
def test_no_map_is_saved_twice(loss, dtype):
    maps = draw(2, 64, 30, 40, dtype=dtype)
    size = maps['student'].nbytes
    saved = saved_bytes(lambda: loss(**maps))
    share = LOSSES[loss][dtype == torch.float16]
    assert size <= saved <= share * size


@pytest.mark.parametrize('loss', LOSSES, ids=lambda f: f.__name__)
def test_nothing_is_saved_where_nobody_learns(loss):
    maps = draw(2, 8, 5, 6)
    maps['student'] = maps['student'].detach()
    assert saved_bytes(lambda: loss(**maps)) == 0
    with torch.no_grad():
        assert saved_bytes(lambda: loss(**draw(2, 8, 5, 6))) == 0


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
@pytest.mark.parametrize('loss', LOSSES, ids=lambda f: f.__name__)
def test_no_second_gradient_is_allocated(loss, dtype):
    # P2 of two images: beside the gradient at most 5 % of the map, plus maps
    # of masks, attention and weights, without channels. mmrazor's form takes
    # 11 maps.
    maps = draw(2, 256, 200, 336, dtype=dtype)
    student = maps['student']
    extra = 0.05 * student.nbytes
    if loss in (masked, focal_global):
        extra += 3 * 2 * 6 * 200 * 336 * 4
    if loss in (edges, scores):  # their weights
        extra += 2 * 2 * 200 * 336 * 4
    used = measure(lambda: loss(**maps).backward())
    assert student.nbytes <= used.peak <= student.nbytes + extra
    assert student.grad.abs().max() > 0


def test_the_gradient_may_be_computed_again(loss):
    # As TermBalanceHook does, in the graph of the step to come.
    maps = draw(2, 8, 5, 6)
    student = maps['student']
    value = loss(**maps)
    first, again = (
        torch.autograd.grad(3 * value, student, retain_graph=True)[0]
        for _ in range(2)
    )
    kept = first.clone()
    value.backward()
    assert torch.equal(first, again)
    assert torch.equal(first, kept)
    torch.testing.assert_close(3 * student.grad, first)
    with pytest.raises(RuntimeError, match='second time'):
        value.backward()


def test_a_gradient_is_not_differentiated(loss):
    maps = draw(2, 8, 5, 6)
    value = loss(**maps)
    (gradient,) = torch.autograd.grad(
        value, maps['student'], create_graph=True
    )
    other = maps['student'].square().sum()
    with pytest.raises(RuntimeError, match='differentiated a second time'):
        (other + gradient.square().sum()).backward()


def test_two_losses_of_one_map_add_up(loss):
    maps = draw(2, 8, 5, 6)
    (loss(**maps) + 2 * loss(**maps)).backward()
    added = maps['student'].grad.clone()
    maps['student'].grad = None
    loss(**maps).backward()
    torch.testing.assert_close(added, 3 * maps['student'].grad)


@pytest.mark.parametrize('weight', [1e-3, 1.0, 1e4])
def test_half_precision_rounds_a_weighted_gradient_once(loss, weight):
    # The factor itself is not representable in float16 at either end.
    scale = 2.0**12
    full = draw(1, 32, 20, 30)
    half = {k: v.detach().half() for k, v in full.items()}
    full['student'] = half['student'].float().requires_grad_()
    full['teacher'] = half['teacher'].float()
    half['student'].requires_grad_()
    for maps in (full, half):
        (scale / weight * (weight * loss(**maps))).backward()
    wanted = full['student'].grad
    worst = (half['student'].grad.float() - wanted).norm() / wanted.norm()
    assert worst < 1e-3


class Counter(TorchDispatchMode):
    """How many tensors of at least ``least`` elements are made."""

    def __init__(self, least, known):
        super().__init__()
        self.least, self.seen = least, set(known)  # addresses
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        if isinstance(output, torch.Tensor) and output.numel() >= self.least:
            self.count += output.data_ptr() not in self.seen
            self.seen.add(output.data_ptr())
        return output


#: Tensors as large as the map that either pass makes: the gradient alone,
#: most often in the first, to be finished where it is.
WHOLE = {**dict.fromkeys(LOSSES, (1, 0)), focal_global: (0, 1)}


@pytest.mark.parametrize('loss', WHOLE, ids=lambda f: f.__name__)
def test_operators_that_touch_the_whole_map(loss):
    maps = draw(2, 128, 64, 64)  # 8 MiB, several pieces on a thread
    known = [x.data_ptr() for x in maps.values()]
    with Counter(maps['student'].numel(), known) as forward:
        value = loss(**maps)
    with Counter(maps['student'].numel(), forward.seen) as backward:
        value.backward()
    assert (forward.count, backward.count) == WHOLE[loss]


@pytest.mark.parametrize(
    'form', ['plain', 'channels_last', 'strided', 'transposed']
)
@pytest.mark.parametrize('loss', LOSSES, ids=lambda f: f.__name__)
def test_pieces_are_the_whole(loss, form, monkeypatch):
    maps = draw(3, 20, 17, 13, dtype=torch.float64)
    expected = loss(**maps)
    expected.backward()
    wanted = maps['student'].grad
    other = {k: reshaped(v.detach(), form) for k, v in maps.items()}
    other['student'].requires_grad_()
    monkeypatch.setattr(f'{GRADIENT}._CPU_PIECE_BYTES', 1000)
    value = loss(**other)
    value.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    torch.testing.assert_close(
        other['student'].grad, wanted, rtol=1e-12, atol=1e-15
    )


GRADIENT = 'mmdistill_dense.functional.gradient'


def reshaped(x, form):
    if form == 'channels_last':
        return x.to(memory_format=torch.channels_last)
    if form == 'transposed':
        return x.mT.contiguous().mT
    if form == 'strided':
        wide = x.repeat_interleave(2, 3)[..., ::2]
        assert not wide.is_contiguous()
        return wide
    return x


def test_without_torchs_word_a_gradient_is_a_new_tensor(monkeypatch):
    # Older versions of torch do not say whether the graph is kept.
    gone = SimpleNamespace()
    monkeypatch.setattr(torch._C, '_autograd', gone)
    maps = draw(1, 4, 3, 3)
    value = channel_wise_divergence(**maps)
    saved = value.grad_fn.next_functions[0][0].saved_tensors[0].clone()
    value.backward(retain_graph=True)
    again = value.grad_fn.next_functions[0][0].saved_tensors[0]
    assert torch.equal(saved, again)
    assert not torch.equal(maps['student'].grad, saved)
