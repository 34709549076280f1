"""The dry run: what it finds, and that it leaves no trace."""

import random
from copy import deepcopy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from torch import nn

from mmdistill_dense.models.hosts import (
    FeatureSpec,
    blank_batch,
    dry_run,
    input_channels,
)
from mmdistill_dense.models.utils import forked_rng
from mmdistill_dense.recorders import RecorderSet

from ..helpers.models import cwd, distiller, mask_rcnn, pspnet
from . import zoo


@pytest.fixture(scope='module')
def segmentor():
    return MODELS.build(pspnet())


@pytest.fixture(scope='module')
def detector():
    return MODELS.build(mask_rcnn())


def look(model, path, size=(64, 64)):
    recorders = RecorderSet(model)
    recorders.add(model, 'key', path)
    return dry_run(model, recorders, ['key'], size)


def strides(found):
    return [spec.stride for spec in found.specs['key']]


def test_a_neck_of_five_levels(detector):
    found = look(detector, 'neck', (128, 192))
    assert strides(found) == [(s, s) for s in (4, 8, 16, 32, 64)]
    assert {spec.channels for spec in found.specs['key']} == {32}
    assert found.route == 'features'


def test_a_dilated_backbone(segmentor):
    found = look(segmentor, 'backbone')
    assert strides(found) == [(s, s) for s in (4, 8, 8, 8)]
    assert [s.channels for s in found.specs['key']] == [8, 16, 32, 64]
    assert found.route == 'features'


@pytest.mark.parametrize(
    ('path', 'route'),
    [
        ('backbone.layer4', 'features'),
        ('decode_head.conv_seg', 'decode'),
        ('auxiliary_head.conv_seg', 'auxiliary'),
        ('{decode_head,auxiliary_head}.conv_seg', 'auxiliary'),
    ],
)
def test_a_segmentors_shortest_route(segmentor, path, route):
    assert look(segmentor, path).route == route


@pytest.mark.parametrize(
    ('path', 'route', 'calls'),
    [
        ('neck.fpn_convs.*.conv', 'features', 1),
        ('rpn_head.rpn_cls', 'tensor', 5),
        ('roi_head.bbox_head', 'rois', 1),
        ('{neck,roi_head.bbox_head.fc_reg}', 'rois', 1),
    ],
)
def test_a_detectors_shortest_route(detector, path, route, calls):
    found = look(detector, path)
    assert found.route == route
    assert set(found.calls.values()) == {calls}


def test_maps_of_the_rpn_beside_regions(detector):
    found = look(detector, '{rpn_head.rpn_cls,roi_head.bbox_head.fc_cls}')
    assert found.route == 'rpn_rois'
    assert sorted(found.calls.values()) == [1, 5]
    assert [spec.shape[0] for spec in found.specs['key']] == [1] * 6


def test_a_cascade_of_decode_heads():
    model = MODELS.build(zoo.point_rend())
    found = look(model, 'decode_head.0.conv_seg')
    assert found.route == 'decode'
    assert strides(found) == [(4, 4)]


@pytest.mark.parametrize('count', [1, 3, 4])
@pytest.mark.parametrize('build', [pspnet, zoo.retinanet])
def test_an_image_of_any_number_of_channels(build, count):
    cfg = build()
    cfg.backbone.in_channels = count
    model = MODELS.build(cfg)
    assert blank_batch(model, (64, 64))[0].shape == (1, count, 64, 64)
    assert look(model, 'backbone').specs['key'][0].channels == 8


@pytest.mark.parametrize('count', [1, 3])
def test_a_first_convolution_on_stacked_pixels(count):
    model = MODELS.build(zoo.yolox())
    conv = model.backbone.stem.conv.conv
    assert conv.in_channels == 12
    if count == 1:
        model.backbone.stem.conv.conv = nn.Conv2d(4, conv.out_channels, 3)
    assert input_channels(model, (64, 64)) == count


def test_a_model_that_calls_no_convolution_takes_as_many_as_its_means():
    linear = nn.Linear(1, 1)
    linear.extract_feat = linear.forward
    assert input_channels(linear, (8, 8)) == 3
    linear.data_preprocessor = SimpleNamespace(mean=torch.zeros(5, 1, 1))
    assert input_channels(linear, (8, 8)) == 5


def test_what_is_no_map_has_no_stride(detector):
    found = look(detector, 'roi_head.bbox_head.fc_cls')
    (spec,) = found.specs['key']
    assert spec.stride is None
    assert spec.channels == 4
    assert str(spec) == '1x4'  # one region, which covers the image


def test_a_spec_says_what_it_is():
    assert str(FeatureSpec((1, 8, 4, 4), (8, 8))) == '8 channels at stride 8'
    odd = FeatureSpec((1, 8, 4, 5), (8, 12.5))
    assert str(odd) == '8 channels at stride 8x12.5'


def test_flags_statistics_and_parameters_are_as_before(segmentor):
    segmentor.train()
    segmentor.decode_head.dropout.eval()  # a user's own choice
    flags = {name: m.training for name, m in segmentor.named_modules()}
    before = {k: v.clone() for k, v in segmentor.state_dict().items()}
    look(segmentor, '{decode_head,auxiliary_head}.conv_seg')
    for name, module in segmentor.named_modules():
        assert module.training is flags[name], name
    for key, value in segmentor.state_dict().items():
        assert torch.equal(value, before[key]), key
    assert all(p.grad is None for p in segmentor.parameters())


def test_features_have_no_graph(segmentor):
    found = look(segmentor, 'backbone')
    assert not any(f.requires_grad for f in found.features['key'])


def draws():
    return (
        torch.rand(3).tolist(),
        np.random.rand(3).tolist(),
        [random.random() for _ in range(3)],
    )


@pytest.fixture
def expected_draws():
    """What every generator gives next if nothing is drawn before."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    expected = draws()
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])
    return expected


def test_what_is_drawn_inside_a_fork_is_not_missed(expected_draws):
    with forked_rng():
        # It begins where the run is, so that a run's seed decides it.
        assert draws() == expected_draws
    assert draws() == expected_draws


def test_a_fork_ends_with_an_exception_too(expected_draws):
    with pytest.raises(ZeroDivisionError, match='zero'), forked_rng():
        draws()[0][0] / 0
    assert draws() == expected_draws


def test_building_leaves_every_generator_where_it_was(
    seg_teacher, segmentor, expected_draws
):
    built = distiller(
        deepcopy(segmentor), seg_teacher, dict(kd=cwd('backbone'))
    )
    assert len(list(built.distill.parameters())) == 8
    assert draws() == expected_draws


def test_a_module_that_no_route_calls_is_named(detector):
    with pytest.raises(
        RuntimeError, match=r"'neck\.fpn_convs' recorded nothing"
    ):
        look(detector, 'neck.fpn_convs')


def test_a_dry_run_that_fails_says_how_to_change_its_size(segmentor):
    with pytest.raises(
        RuntimeError,
        match=r'dry run of EncoderDecoder \(route .features., one blank '
        r'image of 0x8 pixels\) failed: .*input_size=',
    ):
        look(segmentor, 'backbone', (0, 8))
