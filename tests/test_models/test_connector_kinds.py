"""Connectors beyond a convolution, on both sides, and their random masks."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import MODELS
from torch import nn

from mmdistill_dense.functional import (
    channel_wise_divergence,
    keep_mask,
    keyed_generator,
    standardise,
    summed_squared_distance,
)
from mmdistill_dense.models.connectors import (
    MaskedGenerator,
    MLPConnector,
    NormConnector,
)
from mmdistill_dense.models.distillers.alignment import check_not_shared
from mmdistill_dense.models.losses import DistillationLoss

from ..helpers.batches import segmentation_batch, step_losses, total
from ..helpers.models import STILL, cwd, distiller, pspnet
from ..helpers.published import fixture_maps

NORM = dict(type='mmdistill_dense.NormConnector')
GENERATOR = dict(type='mmdistill_dense.MaskedGenerator')


def fill(parameters, arrays):
    for parameter, array in zip(parameters, arrays, strict=True):
        parameter.data = torch.from_numpy(np.asarray(array))


def generator_of_mgd(channels=8, **settings):
    """The connector with the weights of the parity fixture, in float64."""
    connector = MaskedGenerator(channels, 8, **settings).double()
    rs = np.random.RandomState(1)
    arrays = [
        0.3 * rs.randn(8, 8, 3, 3),
        0.1 * rs.randn(8),
        0.3 * rs.randn(8, 8, 3, 3),
        0.1 * rs.randn(8),
    ]
    fill(connector.generation.parameters(), arrays)
    align = 0.5 * rs.randn(8, 5), 0.1 * rs.randn(8)
    if channels != 8:
        fill(
            connector.align.parameters(), [align[0][..., None, None], align[1]]
        )
    return connector


@pytest.mark.parametrize(
    ('channels', 'ratio', 'per', 'loss', 'norm'),
    [
        (8, 0.65, 'position', 4520.373159164466, 449.99943273741115),
        (8, 0.45, 'position', 7498.08936024347, 673.5025890830734),
        (8, 0.0, 'position', 10167.586323996218, 954.8454075608062),
        (8, 1.0, 'position', 803.1955161041599, 0.0),
        (5, 0.65, 'position', 4788.30117105518, 608.0271190906141),
        (8, 0.5, 'channel', 4360.55338986096, 475.9936740725294),
    ],
)
def test_the_masked_generator_equals_the_authors(
    monkeypatch, channels, ratio, per, loss, norm
):
    shape = (2, 1, 4, 6) if per == 'position' else (2, 8, 1, 1)
    drawn = torch.from_numpy(np.random.RandomState(2).rand(*shape))
    if per == 'channel':  # the authors mask U < ratio there
        drawn = 1 - drawn
    monkeypatch.setattr(torch, 'rand', lambda size, **_: drawn.view(size))
    student, teacher = fixture_maps(channels)
    connector = generator_of_mgd(channels, mask_ratio=ratio, per=per)
    value = summed_squared_distance(
        student=connector(student), teacher=teacher
    )
    value.backward()
    assert value.item() == pytest.approx(loss, rel=1e-12)
    assert student.grad.norm().item() == pytest.approx(norm, rel=1e-12)
    if ratio == 1:
        norms = [p.grad.norm().item() for p in connector.parameters()]
        expected = [0, 87.05922056606133, 14.891912582889578]
        assert norms[:3] == pytest.approx(expected, rel=1e-12)


def test_norms_of_both_sides_equal_those_of_rtmdet():
    student, teacher = fixture_maps(5)
    connector = NormConnector(5, 8).double()
    weight = 0.5 * np.random.RandomState(1).randn(8, 5, 1, 1)
    fill(connector.parameters(), [weight])
    others = NormConnector(8, 8).double()
    values = []
    for training in (True, False):
        student.grad = None
        connector.zero_grad()
        value = channel_wise_divergence(
            student=connector.train(training)(student),
            teacher=others.train(training)(teacher),
            tau=1.0,
        )
        value.backward()
        (grad,) = [p.grad.norm().item() for p in connector.parameters()]
        values.append((value.item(), student.grad.norm().item(), grad))
    expected = 0.8661687545606607, 0.030218290468793898, 0.14597269649845968
    assert values[0] == pytest.approx(expected, rel=1e-12)
    assert values[1] == values[0]


def test_standardised_maps_are_those_of_torchs_norms():
    x, _ = fixture_maps()
    norm = nn.functional
    images = norm.instance_norm(x)
    batch = norm.batch_norm(x, None, None, training=True)
    layer = norm.layer_norm(x.movedim(1, -1), (8,)).movedim(-1, 1)
    for over, expected in dict(
        image=images, batch=batch, position=layer
    ).items():
        torch.testing.assert_close(standardise(x, over), expected)
    constant = torch.ones(1, 2, 1, 1, requires_grad=True)
    standardise(constant).sum().backward()
    assert torch.equal(constant.grad, torch.zeros_like(constant))
    with torch.autocast('cpu', torch.bfloat16):
        assert standardise(x.bfloat16()).dtype == torch.float32


def test_the_mlp_equals_the_head_of_radio():
    student, teacher = fixture_maps(5)
    connector = MLPConnector(
        5, 8, hidden_channels=6, activation='gelu'
    ).double()
    rs = np.random.RandomState(1)
    arrays = [
        0.5 * rs.randn(6, 5),
        0.1 * rs.randn(6),
        1 + 0.1 * rs.randn(6),
        0.1 * rs.randn(6),
        0.5 * rs.randn(8, 6),
        0.1 * rs.randn(8),
    ]
    fill(connector.parameters(), arrays)
    out = connector(student)
    cosine = nn.functional.cosine_similarity(out, teacher)
    smooth = nn.functional.smooth_l1_loss(out, teacher)
    assert out.sum().item() == pytest.approx(139.26647741387293, rel=1e-12)
    distance = 1 - cosine.mean()
    assert distance.item() == pytest.approx(1.0437780269248729, rel=1e-12)
    (0.9 * distance + 0.1 * smooth).backward()
    norms = [
        x.grad.norm().item()
        for x in (student, connector.fc1.weight, connector.fc2.weight)
    ]
    expected = 0.032255960839769796, 0.12466367737015886, 0.13931598357084152
    assert norms == pytest.approx(expected, rel=1e-12)


def test_an_mlp_takes_rows_too():
    connector = MLPConnector(5, 8, norm=False, activation='gelu')
    rows = torch.randn(3, 5)
    expected = connector(rows[..., None, None])[..., 0, 0]
    torch.testing.assert_close(connector(rows), expected)


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: NormConnector(4, 4, over='all'), "over must be .* 'all'"),
        (lambda: MLPConnector(4, 4, activation='tanh'), "got 'tanh'"),
        (lambda: MaskedGenerator(4, 4, mask_ratio=2), 'between 0 and 1.* 2'),
        (lambda: MaskedGenerator(4, 4, per='image'), "per must .* 'image'"),
    ],
)
def test_settings_that_are_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_a_mask_depends_on_its_key_alone():
    x = torch.zeros(2, 3, 40, 50)

    def drawn(*key):
        return keep_mask(x, 0.3, generator=keyed_generator(x.device, *key))

    state = torch.get_rng_state()
    mask = drawn(0, 1, 'kd', 2)
    assert mask.shape == (2, 1, 40, 50)
    assert mask.unique().tolist() == [0, 1]
    assert mask.mean().item() == pytest.approx(0.7, abs=0.03)
    torch.rand(1)
    assert torch.equal(mask, drawn(0, 1, 'kd', 2))
    for key in [
        (1, 1, 'kd', 2),
        (0, 2, 'kd', 2),
        (0, 1, 'k', 2),
        (0, 1, 'kd'),
    ]:
        assert 0.4 < (mask != drawn(*key)).float().mean() / 0.42 < 1.6
    torch.set_rng_state(state)
    drawn(5)
    assert torch.equal(state, torch.get_rng_state())


def masked(student, teacher, **settings):
    connector = dict(student=GENERATOR, teacher=NORM)
    terms = dict(kd=cwd('backbone', connector=connector, **settings))
    model = distiller(student, teacher, terms)
    model.init_weights()
    return model


def test_a_masked_step_draws_from_no_generator_of_the_run(
    teacher_of, monkeypatch
):
    teacher = teacher_of(pspnet, depth=50)
    model = masked(pspnet(**STILL), teacher)
    batch = segmentation_batch(2, (64, 64))

    def value(iteration):
        model.distill.clock.set(iteration=iteration)
        return step_losses(model, deepcopy(batch))['loss_kd']

    state = torch.get_rng_state()
    first, again, other = value(3), value(3), value(4)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    MessageHub.get_current_instance().update_info('seed', 7)
    assert not torch.equal(first, value(3))
    MessageHub.get_current_instance().update_info('seed', 0)
    assert torch.equal(first, value(3))
    rank = 'mmdistill_dense.models.distillers.loss_inputs.get_rank'
    monkeypatch.setattr(rank, lambda: 1)
    assert not torch.equal(first, value(3))
    assert not {k for k in model.state_dict() if 'teacher_connectors' in k}


def test_each_level_and_term_has_masks_of_its_own(teacher_of, monkeypatch):
    model = masked(pspnet(**STILL), teacher_of(pspnet, depth=50))
    model.distill.clock.set(iteration=0)
    masks = []

    def keep(x, *args):
        masks.append(keep_mask(x, *args))
        return masks[-1]

    module = 'mmdistill_dense.models.connectors.masked_generator.keep_mask'
    monkeypatch.setattr(module, keep)
    step_losses(model, segmentation_batch(2, (64, 64)))
    # All but the first level have one size.
    one, *others = masks[1:]
    assert len(others) == 2
    assert not any(torch.equal(one, other) for other in others)


def test_a_teacher_follows_no_connector(teacher_of):
    teacher = teacher_of(pspnet, depth=50)
    for cfg in (GENERATOR, dict(type='mmdistill_dense.MLPConnector')):
        terms = dict(kd=cwd('backbone', connector=dict(teacher=cfg)))
        with pytest.raises(
            ValueError, match=r"term 'kd': .*teacher has trained parameters"
        ):
            distiller(pspnet(), teacher, terms)


def test_one_side_alone_leaves_the_other_as_it_is(teacher_of, log_lines):
    teacher = teacher_of(pspnet, depth=50)
    terms = dict(kd=cwd('backbone', connector=dict(teacher=NORM)))
    term = distiller(pspnet(), teacher, terms).distill.terms['kd']
    kinds = {type(c).__name__ for c in term.connectors}
    assert kinds == {'ConvConnector'}
    text = '\n'.join(log_lines)
    bridge = 'through ConvConnector, the teacher through NormConnector, weight'
    assert text.count(bridge) == 4


def test_one_generator_for_two_levels_is_refused():
    one = MaskedGenerator(4, 4)
    with pytest.raises(ValueError, match='one MaskedGenerator is given for'):
        check_not_shared([one, MaskedGenerator(4, 4), one])
    check_not_shared([nn.Identity()] * 2)


class LevelBlocks(DistillationLoss):
    """A loss with a layer for each level."""

    def __init__(self, channels, loss_weight=1.0):
        super().__init__(loss_weight)
        self.blocks = nn.ModuleList(nn.Conv2d(c, c, 1) for c in channels)

    def forward(self, *, student, teacher, level, generator):
        noise = torch.rand((), generator=generator)
        difference = self.blocks[level](student) - teacher
        return self.loss_weight * noise * difference.pow(2).mean()


@pytest.fixture
def blocks():
    MODELS.register_module(module=LevelBlocks)
    yield dict(type='LevelBlocks')
    MODELS.module_dict.pop('LevelBlocks')


def test_a_loss_with_layers_gets_the_teachers_channels(teacher_of, blocks):
    kd = dict(at='backbone', loss=blocks, level_weights=[0, 1, 1, 1])
    model = distiller(pspnet(), teacher_of(pspnet, depth=50), dict(kd=kd))
    model.init_weights()
    model.distill.clock.set(iteration=0)
    layers = model.distill.terms['kd'].loss.blocks
    assert [b.in_channels for b in layers] == [32, 64, 128, 256]
    keys = [k for k in model.state_dict() if '.loss.blocks.' in k]
    assert len(keys) == 8
    assert all(k.startswith('distill.terms.kd.') for k in keys)
    total(model, step_losses(model, segmentation_batch(2))).backward()
    grads = [b.weight.grad.abs().max() > 0 for b in layers]
    # The level that is left out gets zeros, not nothing.
    assert grads == [False, True, True, True]


def test_an_inactive_loss_with_layers_stays_in_the_graph(teacher_of, blocks):
    kd = dict(at='backbone', loss=blocks, schedule=dict(begin=5))
    model = distiller(pspnet(), teacher_of(pspnet, depth=50), dict(kd=kd))
    model.init_weights()
    model.distill.clock.set(iteration=0)
    total(model, step_losses(model, segmentation_batch(2))).backward()
    for parameter in model.distill.parameters():
        assert torch.equal(parameter.grad, torch.zeros_like(parameter))
