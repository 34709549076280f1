"""The self-supervised teacher: what it computes, tells and refuses."""

import re

import pytest
import torch
from mmengine.model import BaseModule

from mmdistill_dense.models.pcd.projection_teacher import ProjectionTeacher
from mmdistill_dense.registry import MODELS

from . import official

RESNET = dict(type='mmdet.ResNet', depth=50, base_channels=8)
HEAD = dict(widths=(40, 24))
BUILD = dict(layout='mocov3_resnet', head=HEAD, input_size=(64, 64))


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    path = str(tmp_path_factory.mktemp('teacher') / 'some.pth.tar')
    torch.save(official.mocov3_resnet(8, (40, 24)), path)
    return path


@pytest.fixture
def teacher(checkpoint):
    teacher = ProjectionTeacher(RESNET, checkpoint=checkpoint, **BUILD)
    teacher.load(torch.zeros(1))
    return teacher


def test_building_and_loading_leave_the_random_numbers_alone(checkpoint):
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    teacher = ProjectionTeacher(RESNET, checkpoint=checkpoint, **BUILD)
    teacher.load(torch.zeros(1))
    assert torch.equal(torch.rand(1), expected)


def test_its_maps_have_no_gradient_and_hang_on_no_other_image(teacher):
    images = torch.randn(2, 3, 64, 64, requires_grad=True)
    maps = teacher.maps(images)
    assert not maps.requires_grad
    alone = teacher.maps(images[:1])
    # Some processors sum two images in another order than one.
    tiny = 1e-5 * float(maps.abs().max())
    assert torch.allclose(maps[:1], alone, rtol=1e-4, atol=tiny)


def test_its_relu_keeps_the_embedding_and_the_plain_one_does_not(
    teacher, checkpoint
):
    plain = ProjectionTeacher(
        RESNET, checkpoint=checkpoint, relu='plain', **BUILD
    )
    plain.load(torch.zeros(1))
    images = torch.randn(2, 3, 64, 64)
    spatial, other = (t.maps(images).mean((2, 3)) for t in (teacher, plain))
    assert (spatial - other).abs().max() > 0.01 * spatial.abs().max()


@pytest.fixture
def fingerprint(checkpoint):
    """``fingerprint(...)``: of the teacher of these settings."""

    def run(**settings):
        settings = dict(BUILD, checkpoint=checkpoint) | settings
        teacher = ProjectionTeacher(RESNET, **settings)
        teacher.load(torch.zeros(1))
        return teacher.fingerprint

    return run


def listed(third, eps=1e-5):
    return [
        dict(type='Linear', in_features=256, out_features=40, bias=False),
        dict(type='BatchNorm1d', num_features=40, eps=eps),
        dict(type=third),
        dict(type='Linear', in_features=40, out_features=24, bias=False),
    ]


def test_its_fingerprint_tells_what_the_head_computes(fingerprint):
    own = fingerprint()
    assert len(own) == 8
    assert ProjectionTeacher(RESNET, **BUILD).fingerprint == ''  # not loaded
    assert fingerprint(head=listed('ReLU')) == own
    without = fingerprint(head=listed('Identity'))
    others = fingerprint(relu='plain'), fingerprint(head=listed('ReLU', 1e-3))
    assert len({own, without, *others}) == 4
    # Not what changes no map.
    assert fingerprint(head=listed('Dropout')) == without
    plain = fingerprint(head=listed('Identity'), relu='plain')
    assert plain == without


def test_it_tells_what_it_is(teacher):
    lines = teacher.describe().splitlines()
    expected = (
        r'Teacher: mmdet.ResNet, 0.4 M parameters, gives 256 channels at '
        r'stride 32, 2x2 cells of an image of 64x64 pixels',
        r"  head on each cell \(layout 'mocov3_resnet'\):",
        r'    Conv2d\(256, 40, bias=False\)',
        r'    BatchNorm2d\(40, eps=1e-05, affine=True\)',
        r'    SpatialReLU\(\)',
        r'    Conv2d\(40, 24, bias=False\)',
        r'  gives 24 channels, the dimension of a vector in the queue',
    )
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line)


@pytest.mark.parametrize(
    ('layout', 'projector', 'bias'),
    [
        ('mocov3_resnet', (4096, 256), False),
        ('mocov3_vit', (4096, 256), False),
        ('mmpretrain_mocov3', (4096, 256), False),
        ('byol', (4096, 256), (True, False)),
        ('swav', (2048, 128), True),
        ('barlow_twins', (8192, 8192, 8192), False),
        ('openmmlab', (4096, 256), False),
        ('bare', (4096, 256), False),
    ],
)
def test_the_students_head_mirrors_it(layout, projector, bias):
    teacher = ProjectionTeacher(RESNET, layout, input_size=(64, 64))
    assert teacher.channels == projector[-1]
    assert teacher.student_head == dict(
        projector=projector, predictor=projector, bias=bias
    )


def test_a_head_of_listed_layers_is_mirrored_too():
    layers = [
        dict(type='Linear', in_features=256, out_features=12),
        dict(type='ReLU'),
        dict(type='Linear', in_features=12, out_features=6, bias=False),
    ]
    teacher = ProjectionTeacher(RESNET, head=layers, input_size=(64, 64))
    assert teacher.student_head == dict(
        projector=(12, 6), predictor=(12, 6), bias=(True, False)
    )
    nothing = ProjectionTeacher(RESNET, 'byol', head=[], input_size=(64, 64))
    assert '    none\n  gives 256 channels' in nothing.describe()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (
            dict(head=dict(width=(4, 2))),
            r"unknown settings \['width'\]: expected widths and bias",
        ),
        (
            dict(head=dict(widths=(4, 2), bias=(True,))),
            r'has 2 widths, \(4, 2\), and 1 biases, \(True,\)',
        ),
        (
            dict(head=[dict(type='Linear', in_features=256)]),
            r"teacher.head\[0\], .*'Linear'.* cannot be built: .*out_features",
        ),
        (
            dict(head=[dict(type='NoSuchLayer')]),
            r'cannot be built: .*Expected a layer of torch.nn, such as',
        ),
        (
            dict(head=[dict(type='Linear', in_features=9, out_features=2)]),
            r'does not fit a backbone that gives 256 channels at stride 32: '
            r'.*layers are \[Linear\(in_features=9',
        ),
        (dict(head=[dict(type='GELU')]), r'GELU'),
        (dict(relu='leaky'), r"relu must be 'spatial' or 'plain'"),
        (
            dict(layout='byol', keep_last_bn=True),
            r'keep_last_bn=True needs a layout whose head ends in batch norm',
        ),
        (
            dict(layout='mocov3_resnet', head=[], keep_last_bn=True),
            r'put the BatchNorm1d in the list',
        ),
    ],
)
def test_a_head_that_cannot_be_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ProjectionTeacher(RESNET, **dict(input_size=(64, 64)) | settings)


@pytest.mark.parametrize('backbone', ['mmdet.ResNet', dict(depth=50), None])
def test_what_is_no_config_of_a_backbone_is_refused(backbone):
    with pytest.raises(ValueError, match=r'teacher\.backbone must be the'):
        ProjectionTeacher(backbone)


@pytest.fixture
def giving():
    """Config of a backbone that gives what a function makes of images."""

    def make(function):
        class Giving(BaseModule):
            def forward(self, images):
                return function(images)

        MODELS.register_module(name='Giving', module=Giving, force=True)
        return dict(type='mmdistill_dense.Giving')

    yield make
    MODELS.module_dict.pop('Giving', None)


@pytest.mark.parametrize(
    ('output', 'got'),
    [
        (lambda x: x.flatten(2), r'\(1, 3, 4096\)'),
        (lambda x: (x, x.mean((2, 3))), r'\(1, 3\)'),
        (lambda x: [[x, x]], 'list'),
    ],
)
def test_a_backbone_that_gives_no_map_is_refused(giving, output, got):
    with pytest.raises(
        ValueError,
        match=r'Giving must return maps of shape \(N, C, H, W\), its last '
        rf"output is {got}. .* out_type='featmap' .*, output_cls_token=False",
    ):
        ProjectionTeacher(giving(output), input_size=(64, 64))


@pytest.mark.parametrize(
    'output', [lambda x: x, lambda x: (x[:, :1], x), lambda x: [x]]
)
def test_the_last_map_counts_in_whatever_it_comes(giving, output):
    teacher = ProjectionTeacher(giving(output), input_size=(64, 64))
    assert teacher.channels == 3


def test_a_dry_run_that_fails_says_so():
    cfg = dict(type='mmdet.ResNet', depth=50, in_channels=4)
    with pytest.raises(
        RuntimeError,
        match=r'dry run of ResNet on one blank image of 32x48 '
        r'pixels failed: .*set input_size=\(height, width\)',
    ):
        ProjectionTeacher(cfg, input_size=(32, 48))
