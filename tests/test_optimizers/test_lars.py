"""LARS: its steps by hand, what it leaves alone, and under MMEngine."""

import math
from copy import deepcopy

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmdistill_dense.optimizers import LARS

CFG = dict(type='mmdistill_dense.LARS', lr=0.5, weight_decay=1e-2)


def parameter(*values):
    return nn.Parameter(torch.tensor(values, dtype=torch.float64))


def step(optimizer, *grads):
    """One step with these gradients, in the order of the parameters."""
    weights = [w for g in optimizer.param_groups for w in g['params']]
    for weight, grad in zip(weights, grads, strict=True):
        weight.grad = torch.as_tensor(grad, dtype=weight.dtype)
    optimizer.step()


def student(width=8):
    """The kinds of layer that a pre-trained student has."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, bias=False),
        nn.Sequential(nn.BatchNorm2d(width), nn.ReLU()),
        nn.Conv2d(width, width, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.LayerNorm(width),
        nn.Linear(width, 4),
    )


def reference(weights, grads, lrs, *, mu, decay, eta):
    """The docstring's formulas in plain numbers, one tensor a list."""
    buffer = [0.0] * len(weights)
    for grad, lr in zip(grads, lrs, strict=True):
        w = math.sqrt(sum(x * x for x in weights))
        g = math.sqrt(sum(x * x for x in grad))
        ratio = eta * w / (g + decay * w) if w and g else 1.0
        for i, value in enumerate(grad):
            scaled = ratio * (value + decay * weights[i])
            buffer[i] = mu * buffer[i] + scaled
        weights = [x - lr * v for x, v in zip(weights, buffer, strict=True)]
    return weights


def test_first_steps_by_hand():
    # |w| = 5, |g| = 1.5, decay 0.1: ratio = 0.01 * 5 / (1.5 + 0.5) = 0.025
    weight = parameter([3.0, 4.0])
    optimizer = LARS([weight], lr=2, weight_decay=0.1, eta=0.01)
    step(optimizer, [[1.5, 0.0]])
    # g + decay * w = (1.8, 0.4); times lr * ratio = 0.05
    want = torch.tensor([[3 - 0.09, 4 - 0.02]], dtype=torch.float64)
    torch.testing.assert_close(weight.detach(), want, rtol=0, atol=1e-15)
    step(optimizer, [[0.0, 0.0]])  # ratio 1: only decay, and the momentum
    want = want - 2 * (
        0.9 * torch.tensor([[0.045, 0.01]], dtype=torch.float64) + 0.1 * want
    )
    torch.testing.assert_close(weight.detach(), want, rtol=0, atol=1e-15)


def test_eps_joins_the_denominator():
    weight = parameter([3.0, 4.0])
    step(LARS([weight], lr=1, weight_decay=0, eta=1, eps=1), [[0.0, 4.0]])
    assert weight.tolist() == [[3.0, 0.0]]  # ratio = 5 / (4 + 1)


def test_a_weight_of_zeros_moves():
    weight = parameter([0.0, 0.0])
    step(LARS([weight], lr=0.5, weight_decay=0.1), [[2.0, -4.0]])
    assert weight.tolist() == [[-1.0, 2.0]]


def test_many_steps_as_the_reference_under_a_changing_rate():
    random = torch.Generator().manual_seed(3)
    start = torch.randn(6, generator=random, dtype=torch.float64)
    grads = torch.randn(20, 6, generator=random, dtype=torch.float64)
    lrs = [0.1 * (i % 5) for i in range(20)]  # 0 in some, as in a warm-up
    weight = nn.Parameter(start.reshape(2, 3).clone())
    optimizer = LARS([weight], lr=0.0, weight_decay=0.3, eta=0.02)
    for grad, lr in zip(grads, lrs, strict=True):
        optimizer.param_groups[0]['lr'] = lr
        step(optimizer, grad.reshape(2, 3))
    want = reference(
        start.tolist(), grads.tolist(), lrs, mu=0.9, decay=0.3, eta=0.02
    )
    assert weight.flatten().tolist() == pytest.approx(want, rel=1e-12)


def test_vectors_are_plain_sgd():
    """Norms inside a Sequential too, which are not called ``bn``."""
    model, other = student(), student()
    other.load_state_dict(model.state_dict())
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    assert len(vectors) == 6  # two norms, two biases
    lars = LARS(model.parameters(), lr=0.1, weight_decay=0.5)
    sgd = torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        for left, right in zip(
            model.parameters(), other.parameters(), strict=True
        ):
            left.grad = torch.randn_like(left)
            right.grad = left.grad.clone()
        lars.step()
        sgd.step()
    for left, right in zip(
        model.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(left, right) == (left.ndim <= 1)


def test_vectors_can_be_scaled_too():
    vector = parameter(3.0, 4.0)
    optimizer = LARS([vector], 1, weight_decay=0, eta=1, exclude_vectors=False)
    step(optimizer, [0.0, 10.0])
    assert vector.tolist() == [3.0, -1.0]


def test_a_parameter_without_gradient_stays():
    weight, idle = parameter([1.0, 2.0]), parameter([1.0, 2.0])
    optimizer = LARS([weight, idle], lr=1)
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    assert idle.tolist() == [[1.0, 2.0]]
    assert weight.tolist() != [[1.0, 2.0]]
    assert set(optimizer.state) == {weight}


def test_half_precision_norms_do_not_overflow():
    weight = nn.Parameter(torch.full((64, 64), 100.0, dtype=torch.half))
    step(
        LARS([weight], lr=1, weight_decay=0, eta=0.01),
        torch.full((64, 64), 1.0),
    )
    assert (weight == 99).all()  # norms 6400 and 64: a step of 0.01 * 100


def test_resuming_takes_the_same_steps():
    first = nn.Linear(3, 2).double()
    optimizer = LARS(first.parameters(), lr=0.5)
    step(optimizer, torch.ones(2, 3), torch.ones(2))
    second = deepcopy(first)
    resumed = LARS(second.parameters(), lr=1.0, momentum=0.1, eta=0.5)
    resumed.load_state_dict(deepcopy(optimizer.state_dict()))
    for one in (optimizer, resumed):
        step(one, torch.full((2, 3), 2.0), torch.zeros(2))
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)


def test_closure_runs_with_gradients():
    weight = parameter([1.0, 1.0])

    def closure():
        (loss := weight.sum()).backward()
        return loss

    assert LARS([weight], lr=1).step(closure).item() == 2
    assert weight.grad is not None


@pytest.mark.parametrize(
    'wrapper',
    [
        dict(type='OptimWrapper'),
        dict(type='OptimWrapper', accumulative_counts=2),
        dict(type='AmpOptimWrapper', dtype='bfloat16'),
    ],
)
def test_learns_under_mmengine(wrapper, amp_on_a_cpu):
    targets = torch.arange(32) % 3
    colours = 2 * torch.eye(3)[targets]
    images = colours[..., None, None] + torch.randn(32, 3, 4, 4)
    model = student()
    wrapped = build_optim_wrapper(
        model, dict(wrapper, optimizer=dict(CFG, lr=4.0))
    )
    losses = []
    for _ in range(40):
        with wrapped.optim_context(model):
            loss = nn.functional.cross_entropy(model(images), targets)
        wrapped.update_params(loss)
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_paramwise_settings_reach_it():
    paramwise = dict(custom_keys={'0': dict(lr_mult=0.5, decay_mult=0)})
    wrapped = build_optim_wrapper(
        student(),
        dict(
            type='OptimWrapper', optimizer=dict(CFG), paramwise_cfg=paramwise
        ),
    )
    stem, *_, last = wrapped.optimizer.param_groups
    assert isinstance(wrapped.optimizer, LARS)
    assert (stem['lr'], stem['weight_decay']) == (0.25, 0)
    assert (last['lr'], last['weight_decay']) == (0.5, 1e-2)
    assert last['eta'] == 1e-3


@pytest.mark.parametrize(
    ('setting', 'message'),
    [
        (dict(lr=-1), r'lr must be a number >= 0, got -1. Set optim_wrapper'),
        (dict(lr='4'), "lr must be a number >= 0, got '4'"),
        (dict(lr=math.nan), 'lr must be a number >= 0, got nan'),
        (dict(momentum=1.0), 'momentum must be a number >= 0 and < 1, got 1'),
        (dict(weight_decay=None), 'weight_decay must be a number >= 0'),
        (dict(eta=0), 'eta must be a number > 0, got 0'),
        (dict(eps=-1e-8), 'eps must be a number >= 0, got -1e-08'),
    ],
)
def test_refuses(setting, message):
    with pytest.raises(ValueError, match=message):
        LARS([parameter([1.0])], **{'lr': 1.0, **setting})
    with pytest.raises(ValueError, match=message):
        LARS([dict(params=[parameter([1.0])], **setting)], lr=1.0)


def test_refuses_sparse_gradients():
    table = nn.Embedding(4, 2, sparse=True)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match=r'is sparse.*sparse=False'):
        LARS(table.parameters(), lr=1).step()
