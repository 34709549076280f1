"""Everything that is registered, each put through the same questions."""

import inspect
from copy import deepcopy

import pytest
import torch

import mmdistill_dense.models  # noqa: F401
from mmdistill_dense.models.losses.inputs import Assignment, Targets
from mmdistill_dense.registry import MODELS

from ..helpers.tokens import save_tokens

#: What a registered module needs that has no default.
SETTINGS = dict(
    ConvConnector=dict(in_channels=4, out_channels=6),
    FocalGlobalLoss=dict(channels=[4]),
    MLPConnector=dict(in_channels=4, out_channels=6),
    MaskedGenerator=dict(in_channels=4, out_channels=6),
    NormConnector=dict(in_channels=4, out_channels=6),
    StatisticsConnector=dict(in_channels=4, out_channels=6),
    PixelAttention=dict(channels=4, num_heads=2),
    PixelHead=dict(in_channels=4, projector=(8, 5), predictor=(8, 6)),
)


#: What stands between a student's map and a loss.
CONNECTORS = [
    *('ConvConnector', 'MLPConnector', 'MaskedGenerator', 'NormConnector'),
    *('PixelAttention', 'PixelHead', 'StatisticsConnector'),
]
LOSSES = sorted(name for name in MODELS.module_dict if name.endswith('Loss'))
#: Losses of distributions over the four edges of boxes, of two bins here.
EDGES = {'EdgeDistributionLoss', 'LocalisationLoss'}
#: Models and their parts, which have tests of their own.
OTHERS = [
    'BackboneClassifier',
    'DenseDistiller',
    'Encoder',
    'EncoderModel',
    'EncoderTeacher',
    'Identity',
    'InstanceContrast',
    'MaskTokenLearner',
    'MobileNetV3',
    'MultiViewPreprocessor',
    'PixelContrastDistiller',
]


@pytest.fixture(scope='module')
def tokens(tmp_path_factory):
    return save_tokens(tmp_path_factory.mktemp('tokens') / 't.pth', 4)


@pytest.fixture
def build(tokens):
    """``build(name, **settings)``, with all that such a module needs."""

    def make(name, **settings):
        settings = SETTINGS.get(name, {}) | settings
        if name.startswith('Masked') and name in LOSSES:
            settings['tokens'] = tokens
        module = MODELS.build(dict(type=f'mmdistill_dense.{name}', **settings))
        if not getattr(module, 'loaded', True):
            module.load([4], torch.ones(()))
        return module

    return make


def assignment():
    """One prior for each of 6x5 cells, all positive."""
    priors = torch.tensor([0.0, 0, 8, 8]).expand(2, 30, 4)
    labels = torch.zeros(2, 30).long()
    coding = (0.0,) * 4, (1.0,) * 4
    return Assignment(labels, torch.ones(2, 30), priors, priors, 60, coding)


def compare(loss, **maps):
    """What a loss makes of two maps of 4 channels.

    It may ask where it is, when, for boxes and negatives, and for what a
    dense head knows; and it may tell statistics beside its value, which carry
    no gradient, or a divisor.
    """
    if type(loss).__name__ in EDGES:
        maps = {k: torch.cat([v, 2 * v], 1) for k, v in maps.items()}
    signature = inspect.signature(loss.forward).parameters
    boxes = [torch.tensor([[4.0, 4, 30, 20]]), torch.zeros(0, 4)]
    scores = {side: torch.zeros(2, 3, 6, 5) for side in maps}
    given = {
        'level': 0,
        'iteration': int,
        'queue': torch.eye(4),
        'targets': Targets([(48, 40)] * 2, (48, 40), (8, 8), boxes),
        'assigned': assignment(),
        'extras': dict(scores=scores),
    }
    result = loss(**maps, **{k: v for k, v in given.items() if k in signature})
    if isinstance(result, torch.Tensor):
        return result
    value, others = result
    parts = others.values() if isinstance(others, dict) else [others]
    assert not any(v.requires_grad for v in parts)
    return value


def test_every_registered_module_is_of_a_known_kind():
    assert sorted(MODELS.module_dict) == sorted(CONNECTORS + LOSSES + OTHERS)
    assert len(LOSSES) >= 6


@pytest.mark.parametrize('name', LOSSES)
def test_a_loss_trains_the_student_and_itself(build, name):
    loss = build(name)
    for parameter in loss.parameters():
        # A layer that starts at 0 lets no gradient through in the first step.
        if not parameter.any():
            torch.nn.init.normal_(parameter)
    student = torch.randn(2, 4, 6, 5, requires_grad=True)
    teacher = torch.randn(2, 4, 6, 5, requires_grad=True)
    value = compare(loss, student=student, teacher=teacher)
    value.backward()
    assert value.shape == ()
    assert value > 0
    assert student.grad.abs().max() > 0
    assert teacher.grad is None
    check_gradients(loss)


@pytest.mark.parametrize('name', LOSSES)
def test_a_loss_is_proportional_to_its_only_weight(build, name):
    maps = dict(
        student=torch.randn(2, 4, 6, 5), teacher=torch.ones(2, 4, 6, 5)
    )
    one, five, zero = (
        compare(build(name, loss_weight=w), **maps) for w in (1, 5, 0)
    )
    assert five.item() == pytest.approx(5 * one.item())
    assert zero.item() == 0


@pytest.mark.parametrize('weight', [-1, float('inf'), '1', None, True])
@pytest.mark.parametrize('name', LOSSES)
def test_a_loss_refuses_what_is_no_weight(build, name, weight):
    with pytest.raises(ValueError, match=f'{name}: a weight must be a finite'):
        build(name, loss_weight=weight)


@pytest.mark.parametrize('name', CONNECTORS)
def test_a_connector_is_trained_in_every_parameter(build, name):
    connector = build(name)
    out = connect(connector, torch.randn(2, 4, 6, 5))
    (out * torch.randn_like(out)).sum().backward()
    assert out.shape == (2, 4 if name == 'PixelAttention' else 6, 6, 5)
    check_gradients(connector)


def connect(connector, x):
    """What a connector makes of a map; it may ask for the teacher's."""
    if 'extras' not in inspect.signature(connector.forward).parameters:
        return connector(x)
    teacher = torch.ones(2, 1, 6, 5).cumsum(3).expand(2, 6, 6, 5)
    return connector(x, dict(reference=dict(teacher=teacher)))


def check_gradients(module):
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize('name', LOSSES + CONNECTORS)
def test_copies_and_checkpoints_give_the_same(build, name):
    module = build(name).eval()
    other = build(name).eval()
    other.load_state_dict(module.state_dict(), strict=True)
    x = torch.randn(2, 4, 6, 5)

    def answer(module):
        torch.manual_seed(0)
        if name in LOSSES:
            return compare(module, student=x, teacher=-x)
        return connect(module, x)

    expected = answer(module)
    for twin in (deepcopy(module), other):
        assert torch.equal(answer(twin), expected)
