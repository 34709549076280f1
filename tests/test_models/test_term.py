"""One term on plain tensors: levels, weights, grids, and its loss."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import MODELS
from torch import nn
from torch.nn.functional import interpolate

from mmdistill_dense.functional import channel_wise_divergence, resize_to
from mmdistill_dense.models.distillers.schedule import Clock
from mmdistill_dense.models.distillers.term import Term, graph_zero
from mmdistill_dense.models.hosts import FeatureSpec
from mmdistill_dense.models.losses import DistillationLoss

CWD = dict(type='mmdistill_dense.ChannelWiseLoss', tau=2.0, loss_weight=3.0)


def levels(*channels_and_strides, image=32):
    specs, maps = [], []
    for channels, stride in channels_and_strides:
        shape = (1, channels, image // stride, image // stride)
        specs.append(FeatureSpec(shape, (stride, stride)))
        maps.append(torch.randn(shape))
    return specs, maps


def divergence(student, teacher):
    return 3 * channel_wise_divergence(
        student=student, teacher=teacher, tau=2.0
    )


@pytest.fixture
def two():
    """A term of two levels with a connector each, and its maps."""
    specs_s, student = levels((4, 4), (8, 8))
    specs_t, teacher = levels((6, 4), (6, 8))
    return lambda **settings: (
        Term('kd', CWD, specs_s, specs_t, **settings),
        student,
        teacher,
    )


def test_all_levels_are_summed_and_scaled(two):
    term, student, teacher = two()
    expected = sum(
        divergence(connector(s), t)
        for connector, s, t in zip(
            term.connectors, student, teacher, strict=True
        )
    )
    assert term(student, teacher, 1.0).item() == pytest.approx(expected.item())
    scaled = term(student, teacher, 0.25)
    assert scaled.item() == pytest.approx(expected.item() / 4)


def test_each_level_may_have_its_weight(two):
    term, student, teacher = two(level_weights=[2.0, 0.5])
    first, second = (
        divergence(connector(s), t)
        for connector, s, t in zip(
            term.connectors, student, teacher, strict=True
        )
    )
    value = term(student, teacher, 1.0)
    assert value.item() == pytest.approx((2 * first + second / 2).item())


def test_a_level_of_weight_zero_is_skipped_but_stays_in_the_graph(two):
    term, student, teacher = two(level_weights=[0, 1])
    student[0] = torch.full_like(student[0], torch.nan)
    value = term(student, teacher, 1.0)
    second = divergence(term.connectors[1](student[1]), teacher[1])
    assert value.item() == pytest.approx(second.item())
    value.backward()
    for parameter in term.connectors[0].parameters():
        assert torch.equal(parameter.grad, torch.zeros_like(parameter))
    assert term.connectors[1].block.conv.weight.grad.abs().max() > 0
    assert list(term.weighted_levels(student, 'student')) == [1]


@pytest.mark.parametrize(
    ('weights', 'message'),
    [
        ([1.0], 'level_weights has 1 entries, but 2 levels are compared'),
        ([1, 1, 1], 'level_weights has 3 entries, but 2 levels'),
        ([1.0, -1.0], r'level_weights: a weight must be .* >= 0, got -1\.0'),
        ([1.0, float('nan')], 'a weight must be a finite number .* got nan'),
        ([1.0, '1'], "a weight must be a finite number .* got '1'"),
    ],
)
def test_level_weights_that_are_refused(two, weights, message):
    with pytest.raises(ValueError, match=message):
        two(level_weights=weights)


@pytest.mark.parametrize(
    ('grid', 'size'), [('teacher', (4, 4)), ('student', (8, 8))]
)
def test_maps_meet_on_the_requested_grid(grid, size):
    specs_s, student = levels((4, 4))
    specs_t, teacher = levels((4, 8))
    term = Term('kd', CWD, specs_s, specs_t, grid=grid)
    aligned = term.align(0, student, teacher)
    assert (
        aligned['student'].shape == aligned['teacher'].shape == (1, 4, *size)
    )
    same = aligned[grid]
    assert same is (teacher if grid == 'teacher' else student)[0]
    small, large = teacher[0], student[0]
    source = large if grid == 'teacher' else small
    resized = interpolate(source, size, mode='bilinear', align_corners=False)
    other = 'student' if grid == 'teacher' else 'teacher'
    assert torch.equal(aligned[other], resized)


def test_the_connector_works_before_the_resizing():
    specs_s, student = levels((4, 4))
    specs_t, teacher = levels((6, 8))
    term = Term('kd', CWD, specs_s, specs_t)
    expected = resize_to(term.connectors[0](student[0]), (4, 4))
    aligned = term.align(0, student, teacher)
    assert torch.equal(aligned['student'], expected)


def test_levels_are_paired_by_stride():
    specs_s, student = levels((4, 4), (4, 8), (4, 16))
    specs_t, teacher = levels((4, 8), (4, 16), (4, 32))
    term = Term('kd', CWD, specs_s, specs_t)
    expected = sum(map(divergence, student[1:], teacher[:2]))
    assert term(student, teacher, 1.0).item() == pytest.approx(expected.item())


def test_another_number_of_tensors_than_in_the_dry_run_is_refused(two):
    term, student, teacher = two()
    with pytest.raises(
        RuntimeError,
        match=r"term 'kd': the dry run recorded 2 student and 2 teacher "
        r'tensors, '
        r'this step recorded 3 and 2\. .*equally often',
    ):
        term([*student, student[0]], teacher, 1.0)


@pytest.mark.parametrize(
    'settings',
    [
        dict(level_weights=[0, 0]),
        dict(loss=dict(CWD, loss_weight=0)),
        dict(level_weights=[0, 0], schedule=dict(begin=3)),
    ],
)
def test_a_term_without_weight_rests_and_asks_for_no_time(settings):
    specs, _ = levels((4, 4), (4, 8))
    settings = dict(loss=CWD, student=specs, teacher=specs) | settings
    assert Term('kd', **settings).factor(Clock()) == 0


def test_its_state_is_that_of_connectors(two):
    term, _, _ = two()
    assert set(term.state_dict()) == {
        f'connectors.{i}.block.conv.{name}'
        for i in range(2)
        for name in ('weight', 'bias')
    }


def test_a_zero_keeps_every_parameter_in_the_graph():
    module = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    zero = graph_zero(module, like=torch.zeros(1))
    assert zero.item() == 0
    zero.backward()
    for parameter in module.parameters():
        assert torch.equal(parameter.grad, torch.zeros_like(parameter))


def test_a_zero_without_parameters_is_one_too():
    zero = graph_zero(nn.Identity(), like=torch.ones(2, dtype=torch.float64))
    assert zero.dtype == torch.float64
    assert zero.shape == ()


class Swapped(nn.Module):
    def forward(self, *, student, teacher, scale=1.0):
        return scale * (student - teacher).pow(2).mean()


class Positional(nn.Module):
    def forward(self, pred, target):
        return (pred - target).pow(2).mean()


class Greedy(nn.Module):
    def forward(self, *, student, teacher, labels):
        return (student - teacher - labels).mean()


class Unreduced(nn.Module):
    def forward(self, *, student, teacher):
        return (student - teacher).pow(2)


class Weighted(nn.Module):
    def __init__(self, loss_weight):
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, student, teacher):
        return self.loss_weight * (student - teacher).abs().mean()


class Lazy(nn.Module):
    """Has a part of the contract, and does not inherit it."""

    loaded = False

    def load(self, channels, like):
        self.channels, self.loaded = channels, True

    def forward(self, *, student, teacher, level):
        return (student - teacher).mean() * self.channels[level]


class AnyWidth(nn.Module):
    """Compares maps of different channels, as attention transfer does."""

    equal_channels = False

    def forward(self, *, student, teacher):
        return (student.mean(1) - teacher.mean(1)).pow(2).mean()


@pytest.fixture
def own_losses():
    kinds = AnyWidth, Swapped, Positional, Greedy, Unreduced, Weighted, Lazy
    for kind in kinds:
        MODELS.register_module(module=kind)
    yield
    for kind in kinds:
        MODELS.module_dict.pop(kind.__name__)


def test_a_loss_of_ones_own_takes_two_keywords(own_losses):
    specs, maps = levels((4, 4))
    term = Term('kd', dict(type='Swapped'), specs, specs)
    value = term(maps, [maps[0] + 2], 1.0)
    assert value.item() == pytest.approx(4.0)


def test_a_loss_of_other_channels_gets_both_maps_as_they_are(own_losses):
    student_specs, student = levels((4, 4))
    teacher_specs, teacher = levels((6, 4))
    term = Term('kd', dict(type='AnyWidth'), student_specs, teacher_specs)
    expected = (student[0].mean(1) - teacher[0].mean(1)).pow(2).mean()
    assert term(student, teacher).item() == pytest.approx(expected.item())
    assert not list(term.parameters())


@pytest.mark.parametrize('weight', [0.0, 0.5])
def test_a_plain_module_with_a_weight_is_a_loss(own_losses, weight):
    specs, maps = levels((4, 4))
    loss = dict(type='Weighted', loss_weight=weight)
    term = Term('kd', loss, specs, specs)
    assert term.disabled == (weight == 0)
    assert term.loaded
    value = term(maps, [maps[0] + 2], 1.0)
    assert value.item() == pytest.approx(2 * weight, abs=1e-6)


def test_a_plain_module_may_load_something(own_losses):
    specs, maps = levels((4, 4))
    term = Term('kd', dict(type='Lazy'), specs, specs)
    term.try_maps(maps, maps)
    assert not term.loaded
    term.load(maps[0], SimpleNamespace(name='teacher', fingerprint='1a'))
    assert term.loaded
    value = term([maps[0] + 2], maps, 1.0)
    assert value.item() == pytest.approx(8.0, rel=1e-5)


def test_what_is_not_loaded_must_be_loadable():
    class Unloadable(DistillationLoss):
        loaded = False

    with pytest.raises(NotImplementedError, match=r'Unloadable.*no load\('):
        Unloadable().load([4], torch.zeros(1))


@pytest.mark.parametrize(
    ('kind', 'reason'), [('Positional', 'pred'), ('Greedy', 'labels')]
)
def test_a_loss_with_another_signature_is_refused(own_losses, kind, reason):
    specs, _ = levels((4, 4))
    with pytest.raises(
        ValueError,
        match=rf'{kind}.forward must be callable as forward\(student=\.\.\., '
        rf"teacher=\.\.\.\): .*'{reason}'",
    ):
        Term('kd', dict(type=kind), specs, specs)


def test_a_loss_that_gives_a_map_is_refused(own_losses):
    specs, maps = levels((4, 4))
    term = Term('kd', dict(type='Unreduced'), specs, specs)
    with pytest.raises(ValueError, match=r'Unreduced returned \(.*a scalar'):
        term(maps, [maps[0] + 2], 1.0)


class Fraction(nn.Module):
    """A sum and the divisor of all levels: how many cells there are."""

    def forward(self, *, student, teacher):
        chosen = (teacher > 0).float()
        return ((student - teacher).abs() * chosen).sum(), chosen.sum()


class Thirds(nn.Module):
    def forward(self, *, student, teacher):
        return student.sum(), teacher.sum(), teacher.sum()


@pytest.fixture
def fractions():
    for kind in (Fraction, Thirds):
        MODELS.register_module(module=kind)
    yield
    for kind in (Fraction, Thirds):
        MODELS.module_dict.pop(kind.__name__)


def test_a_sum_is_divided_by_the_divisors_of_all_levels(fractions):
    specs, teacher = levels((4, 4), (4, 8))
    term = Term('kd', dict(type='Fraction'), specs, specs)
    student = [x + 2 for x in teacher]
    assert term(student, teacher, 0.5).item() == pytest.approx(1.0)
    # A level of weight 0 has no part in the divisor either.
    weighted = Term(
        'kd', dict(type='Fraction'), specs, specs, level_weights=[0, 3]
    )
    assert weighted(student, teacher).item() == pytest.approx(6.0)


def test_nothing_to_divide_by_is_zero_with_a_gradient_of_zero(fractions):
    specs, _ = levels((4, 4), (4, 8))
    term = Term('kd', dict(type='Fraction'), specs, specs)
    teacher = [torch.full(spec.shape, -1.0) for spec in specs]
    student = [torch.zeros(spec.shape, requires_grad=True) for spec in specs]
    value = term(student, teacher)
    value.backward()
    assert value.item() == 0
    assert not any(x.grad.any() for x in student)


def test_a_loss_of_three_parts_is_refused(fractions):
    specs, maps = levels((4, 4))
    term = Term('kd', dict(type='Thirds'), specs, specs)
    with pytest.raises(
        ValueError, match=r'Thirds returned .*a scalar, or a sum and its div'
    ):
        term(maps, maps)
