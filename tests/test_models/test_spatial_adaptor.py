"""A head for vectors and its copy for maps: pooled, they are the same."""

from collections import OrderedDict
from copy import deepcopy
from itertools import pairwise

import pytest
import torch
from torch import nn

from mmdistill_dense.models.pcd.spatial_adaptor import (
    SpatialAdaptor,
    SpatialReLU,
)


def mlp(*widths, bias=True, last_norm=None):
    """Linear, BatchNorm1d and ReLU in a row, with statistics not trivial."""
    layers = []
    for before, after in pairwise(widths):
        if layers:
            layers += [nn.BatchNorm1d(before), nn.ReLU()]
        layers.append(nn.Linear(before, after, bias=bias))
    if last_norm is not None:
        layers.append(nn.BatchNorm1d(widths[-1], affine=last_norm))
    head = nn.Sequential(*layers)
    for layer in head.modules():
        if isinstance(layer, nn.BatchNorm1d):
            layer.running_mean.normal_(std=0.1)
            layer.running_var.uniform_(0.5, 2)
            if layer.affine:
                nn.init.normal_(layer.weight, 1, 0.3)
                nn.init.normal_(layer.bias)
    return head


HEADS = dict(
    two=dict(),
    two_without_bias=dict(bias=False),
    two_and_norm=dict(last_norm=True),
    two_and_plain_norm=dict(bias=False, last_norm=False),
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def error(head, adaptor, x):
    """How far the pooled maps are from the vectors, relative to these."""
    expected = head.eval()(x.mean((2, 3)))
    return (
        (adaptor(x).mean((2, 3)) - expected).norm() / expected.norm()
    ).item()


@pytest.mark.parametrize('widths', [(32, 64, 16), (32, 64, 64, 16)])
@pytest.mark.parametrize('kind', HEADS)
def test_the_pooled_map_is_the_heads_vector(kind, widths):
    head = mlp(*widths, **HEADS[kind])
    x = 10 * torch.randn(4, 32, 7, 7)
    assert error(head, SpatialAdaptor(head), x) < 1e-5
    assert error(head, SpatialAdaptor(head, relu='plain'), x) > 0.1


def test_a_channel_is_kept_or_dropped_whole():
    # Sums 2, -2 and 0: the last is dropped too.
    x = torch.tensor([[-1.0, 3], [1, -3], [1, -1]]).view(1, 3, 1, 2)
    x.requires_grad_()
    y = SpatialReLU()(x)
    assert y.flatten().tolist() == [-1, 3, 0, 0, 0, 0]
    y.sum().backward()
    assert x.grad.flatten().tolist() == [1, 1, 0, 0, 0, 0]
    two = torch.cat([x.detach(), -x.detach()])
    assert SpatialReLU()(two)[1].flatten().tolist() == [0, 0, -1, 3, 0, 0]


def test_the_original_is_neither_shared_nor_changed():
    head = mlp(8, 16, 4, last_norm=True).train()
    before = deepcopy(head.state_dict())
    adaptor = SpatialAdaptor(head)
    with torch.no_grad():
        for parameter in adaptor.parameters():
            parameter.zero_()
    adaptor(torch.randn(2, 8, 3, 3))
    assert all(torch.equal(before[k], v) for k, v in head.state_dict().items())
    assert head.training
    assert all(p.requires_grad for p in head.parameters())


def test_the_copy_has_the_same_names_and_is_frozen():
    layers = OrderedDict(fc=nn.Linear(8, 4), bn=nn.BatchNorm1d(4, 1e-3, 0.3))
    head = nn.Sequential(layers).double()
    head.bn.num_batches_tracked += 7
    adaptor = SpatialAdaptor(head)
    assert list(adaptor.head.state_dict()) == list(head.state_dict())
    assert adaptor.head.fc.weight.shape == (4, 8, 1, 1)
    norm = adaptor.head.bn
    assert (norm.eps, norm.momentum) == (1e-3, 0.3)
    assert norm.num_batches_tracked == 7
    assert norm.running_mean.dtype == torch.float64
    assert not any(p.requires_grad for p in adaptor.parameters())


def test_it_stays_in_eval_mode():
    head = nn.Sequential(nn.Dropout(), mlp(8, 16, 4), nn.Dropout(0.9))
    adaptor = SpatialAdaptor(head)
    x = torch.randn(4, 8, 3, 3)
    for _ in range(2):
        assert error(head, adaptor, x) < 1e-5
        nn.Sequential(adaptor).train()
    assert not any(module.training for module in adaptor.modules())


def test_nothing_is_drawn_from_the_random_generator():
    head = mlp(8, 16, 4)
    state = torch.get_rng_state()
    SpatialAdaptor(head)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    'head', [nn.Sequential(), nn.Identity(), nn.Sequential(nn.Sequential())]
)
def test_an_empty_head_is_the_identity(head):
    x = torch.randn(2, 8, 3, 3)
    assert torch.equal(SpatialAdaptor(head)(x), x)


def test_one_layer_and_nested_ones():
    x = torch.randn(2, 8, 3, 3)
    for head in (
        nn.Linear(8, 4),
        nn.Sequential(nn.Sequential(mlp(8, 16), nn.ReLU()), nn.Linear(16, 4)),
    ):
        assert error(head, SpatialAdaptor(head), x) < 1e-5


def test_gradients_pass_through_it():
    x = torch.randn(2, 8, 3, 3, requires_grad=True)
    SpatialAdaptor(mlp(8, 16, 4))(x).square().sum().backward()
    assert x.grad.abs().max() > 0


class Scaled(nn.Linear):
    """A subclass, which may compute anything."""


@pytest.mark.parametrize(
    ('layer', 'name'),
    [
        (nn.GELU(), 'GELU'),
        (nn.LayerNorm(4), 'LayerNorm'),
        (nn.Tanh(), 'Tanh'),
        (nn.Softmax(1), 'Softmax'),
        (nn.LeakyReLU(), 'LeakyReLU'),
        (nn.ReLU6(), 'ReLU6'),
        (nn.SyncBatchNorm(4), 'SyncBatchNorm'),
        (Scaled(4, 4), 'Scaled'),
        (
            nn.BatchNorm1d(4, track_running_stats=False),
            'BatchNorm1d without running statistics',
        ),
    ],
)
def test_what_does_not_commute_is_refused_by_name(layer, name):
    head = nn.Sequential(nn.Linear(4, 4), nn.Sequential(layer))
    message = rf'head\.1\.0 is a {name}, which is not known to commute'
    with pytest.raises(ValueError, match=message):
        SpatialAdaptor(head)


def test_what_is_no_head_is_refused():
    with pytest.raises(ValueError, match='head is a function, which is not'):
        SpatialAdaptor(lambda x: x)
    with pytest.raises(ValueError, match=r"'spatial' or 'plain', got 'soft'"):
        SpatialAdaptor(nn.Sequential(), relu='soft')
