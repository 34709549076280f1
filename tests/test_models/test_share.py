"""A term whose weight follows from its share of the gradient."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from mmdistill_dense.models.distillers.share import Share, gradient_ratio

from ..helpers.batches import segmentation_batch, step_losses, total
from ..helpers.models import STILL, cwd, distiller, pspnet
from ..helpers.tool_runs import in_two_processes

SHARE = 0.1


def kd(share=SHARE, at='backbone', **settings):
    return dict(kd=cwd(at, share=share, **settings))


def built(teacher, terms):
    torch.manual_seed(0)
    model = distiller(pspnet(**STILL), teacher, terms)
    model.init_weights()
    return model


@pytest.fixture
def teacher(teacher_of):
    return teacher_of(pspnet, depth=50)


def step(model, iteration, seed=None):
    model.distill.clock.set(iteration=iteration)
    batch = segmentation_batch(seed=iteration if seed is None else seed)
    return step_losses(model, batch)


def own(model):
    return {
        k: p
        for k, p in model.named_parameters()
        if not k.startswith('distill.')
    }


def gradients(model, parts):
    """Gradients of a full backward pass of each part, by name."""
    found = []
    for part in parts:
        model.zero_grad()
        part.backward(retain_graph=True)
        found.append(
            {
                k: p.grad.clone()
                for k, p in own(model).items()
                if p.grad is not None
            }
        )
    return found


def by_hand(model, losses):
    """The share of a step, by full backward passes of its own."""
    task = total(
        model,
        {k: v for k, v in losses.items() if k not in ('loss_kd', 'weight_kd')},
    )
    term, own_task = gradients(model, [losses['loss_kd'], task])
    both = term.keys() & own_task.keys()
    assert 0 < len(both) < len(own_task)
    norms = [
        torch.stack([g[k].norm() for k in both]).norm()
        for g in (term, own_task)
    ]
    return float(norms[0] / norms[1])


def test_the_first_step_has_the_share_that_is_wanted(teacher):
    model = built(teacher, kd())
    losses = step(model, 0)
    assert by_hand(model, losses) == pytest.approx(SHARE, rel=1e-4)
    # The head, which the term does not reach, is left out; connectors too.
    assert losses['weight_kd'].item() > 0
    assert not losses['weight_kd'].requires_grad


@pytest.mark.parametrize(
    'iterations', [60, pytest.param(200, marks=pytest.mark.slow)]
)
def test_the_share_is_kept_while_the_student_learns(teacher, iterations):
    model = built(teacher, kd())
    optimizer = torch.optim.SGD(model.parameters(), 0.01, 0.9)
    shares, weights = [], []
    for iteration in range(iterations):
        losses = step(model, iteration, seed=iteration % 7)
        shares.append(by_hand(model, losses))
        weights.append(losses['weight_kd'].item())
        optimizer.zero_grad()
        total(model, losses).backward()
        optimizer.step()
    # The windowed mean stays within two points of what is wanted.
    windows = torch.tensor(shares).unfold(0, 20, 1).mean(1)
    assert (windows - SHARE).abs().max() < 0.02
    # Not by being constant, and without a measurement in between.
    assert len(set(weights[:30])) == 30
    assert len(set(weights[31:40])) == 1
    assert max(weights) > 1.05 * min(weights)


def test_neither_schedule_nor_connectors_count(teacher):
    plain, fading = (
        built(teacher, kd()),
        built(teacher, kd(schedule=dict(warmup=4))),
    )
    first, second = step(plain, 0), step(fading, 0)
    assert torch.equal(first['weight_kd'], second['weight_kd'])
    assert torch.equal(first['loss_kd'] / 4, second['loss_kd'])
    # Level weights do: they are part of the term.
    halved = built(teacher, kd(level_weights=[0.5] * 4))
    weight = step(halved, 0)['weight_kd'].item()
    assert weight == pytest.approx(2 * first['weight_kd'].item(), rel=1e-4)


def test_the_gradient_of_the_step_is_the_weighted_sum(teacher):
    model = built(teacher, kd())
    fixed = built(teacher, dict(kd=cwd('backbone')))
    losses, plain = step(model, 0), step(fixed, 0)
    weight = losses['weight_kd'].item()
    expected = weight * plain['loss_kd'].item()
    assert losses['loss_kd'].item() == pytest.approx(expected, rel=1e-6)
    assert not any(p.grad is not None for p in model.parameters())


def test_a_resumed_share_goes_on_bit_for_bit(teacher):
    model = built(teacher, kd(share=dict(value=SHARE, interval=7)))
    for iteration in range(32):
        step(model, iteration)
    other = built(teacher, kd(share=dict(value=SHARE, interval=7)))
    other.load_state_dict(deepcopy(model.state_dict()))
    assert 'distill.terms.kd.share.average' in model.state_dict()
    for iteration in range(32, 36):
        a, b = (step(m, iteration) for m in (model, other))
        assert torch.equal(a['weight_kd'], b['weight_kd'])
        assert torch.equal(a['loss_kd'], b['loss_kd'])
    assert model.distill.terms['kd'].share._count == 31


def test_what_is_measured_and_when():
    share = Share(0.5, interval=4)
    due = []
    for iteration in range(40):
        due.append(share.due(iteration))
        if due[-1]:
            share.update(torch.tensor(2.0))
    assert due == [True] * 30 + [i % 4 == 0 for i in range(30, 40)]
    assert share.weight.item() == pytest.approx(0.25)
    share.update(torch.tensor(4.0))
    assert share.weight.item() == pytest.approx(0.5 / 2.2, rel=0.01)
    before = share.weight
    for value in (0.0, float('inf'), float('nan')):
        share.update(torch.tensor(value))
        assert torch.equal(share.weight, before)
    assert Share(0.5).weight.item() == 0


def test_a_share_of_zero_disables_the_term(teacher):
    model = built(teacher, kd(share=0))
    losses = step(model, 0)
    assert losses['loss_kd'].item() == 0
    assert 'weight_kd' not in losses
    assert model.distill.terms['kd'].disabled


def test_nothing_is_measured_without_gradients(teacher):
    model = built(teacher, kd())
    with torch.no_grad():
        losses = step(model, 0)
    assert losses['loss_kd'].item() == 0
    assert model.distill.terms['kd'].share._count == 0


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(share=-0.1), 'share: value must'),
        (dict(share='0.1'), "share must be a number.*got '0.1'"),
        (dict(share=True), 'share must be a number.*got True'),
        (dict(share=dict(interval=3)), 'share must be a number'),
        (dict(share=dict(value=1, interval=0)), 'share: interval'),
        (dict(share=0.1, weight=2.0), r'but loss_weight is 2\.0'),
    ],
)
def test_shares_that_are_refused(teacher, settings, message):
    with pytest.raises(ValueError, match=f"term 'kd': .*{message}"):
        distiller(pspnet(), teacher, dict(kd=cwd('backbone', **settings)))


def test_a_name_under_which_the_weight_would_be_summed_is_refused(teacher):
    terms = dict(my_loss=cwd('backbone', share=0.1))
    with pytest.raises(ValueError, match='weight_my_loss would be logged'):
        distiller(pspnet(), teacher, terms)


def test_the_clock_is_needed(teacher):
    model = built(teacher, kd())
    with pytest.raises(RuntimeError, match='the iter is not known'):
        step_losses(model, segmentation_batch())


def test_a_reentrant_checkpoint_is_refused(teacher):
    torch.manual_seed(0)
    cfg = pspnet(**STILL, **{'backbone.with_cp': True})
    model = distiller(cfg, teacher, kd(at='logits'))
    model.init_weights()
    with pytest.raises(RuntimeError, match="term 'kd': share cannot be mea"):
        step(model, 0)


def test_a_term_beside_all_that_the_task_trains_is_refused():
    one, two = (torch.ones(2, requires_grad=True) for _ in range(2))
    with pytest.raises(RuntimeError, match='no trained parameter in common'):
        gradient_ratio(one.sum(), two.sum(), [one, two])
    ratio = gradient_ratio((3 * one).sum(), (one + two).sum(), [one, two])
    assert ratio.item() == pytest.approx(3)


def test_two_processes_have_one_weight_from_both_batches(tmp_path):
    layer = nn.Linear(3, 2, bias=False)
    batches = torch.randn(2, 4, 3)

    def parts(x):
        y = layer(x)
        return y.pow(2).mean(), y.sin().mean()

    def work(rank):
        ratio = gradient_ratio(*parts(batches[rank]), [layer.weight])
        torch.save(ratio, tmp_path / f'{rank}.pth')

    in_two_processes(work)
    one, two = (torch.load(tmp_path / f'{k}.pth') for k in range(2))
    term, task = (
        sum(both) / 2 for both in zip(*map(parts, batches), strict=True)
    )
    expected = gradient_ratio(term, task, [layer.weight])
    assert torch.equal(one, two)
    assert one.item() == pytest.approx(expected.item(), rel=1e-5)
    alone = gradient_ratio(*parts(batches[0]), [layer.weight])
    assert alone.item() != pytest.approx(expected.item(), rel=1e-2)
