"""Logits are compared class by class, on classes that both models have."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from mmengine.visualization import Visualizer
from torch import nn

from mmdistill_dense.compat import config_path
from mmdistill_dense.functional import (
    channel_wise_divergence,
    pixel_wise_divergence,
)
from mmdistill_dense.models.distillers.term import Term
from mmdistill_dense.models.hosts import ClassScores, FeatureSpec
from mmdistill_dense.models.hosts.classifiers import class_scores

from ..helpers.batches import detection_batch, segmentation_batch, step_losses
from ..helpers.models import cwd, distiller, mask_rcnn, pspnet
from . import zoo

PIXEL_WISE = dict(type='mmdistill_dense.PixelWiseLoss')
CWD = dict(type='mmdistill_dense.ChannelWiseLoss')
SSD = 'mmdet::ssd/ssd300_coco.py'


@pytest.mark.parametrize(
    ('build', 'path', 'expected'),
    [
        (pspnet, 'decode_head.conv_seg', ClassScores(4)),
        (pspnet, 'auxiliary_head.conv_seg', ClassScores(4)),
        (zoo.point_rend, 'decode_head.0.conv_seg', ClassScores(4)),
        (pspnet, 'decode_head.bottleneck', None),
        (pspnet, 'backbone', None),
        (zoo.retinanet, 'bbox_head.retina_cls', ClassScores(3, 9)),
        (zoo.retinanet, 'bbox_head.retina_reg', None),
        (zoo.retinanet, 'bbox_head.cls_convs.0.conv', None),
        (zoo.fcos, 'bbox_head.conv_cls', ClassScores(3)),
        (zoo.yolox, 'bbox_head.multi_level_conv_cls.1', ClassScores(3)),
        (mask_rcnn, 'rpn_head.rpn_cls', ClassScores(1, 3)),
        (mask_rcnn, 'roi_head.bbox_head.fc_cls', ClassScores(4)),
        (zoo.soft_teacher, 'teacher.rpn_head.rpn_cls', ClassScores(1, 3)),
    ],
)
def test_what_the_channels_of_a_classifier_are(build, path, expected):
    assert class_scores(MODELS.build(build()), path) == expected


def test_priors_that_differ_by_level():
    head = dict(
        Config.fromfile(config_path(SSD)).model.bbox_head,
        num_classes=3,
        _scope_='mmdet',
    )
    model = nn.ModuleDict(dict(bbox_head=MODELS.build(head)))
    found = [
        class_scores(model, f'bbox_head.cls_convs.{level}.0')
        for level in range(6)
    ]
    assert found == [ClassScores(4, priors) for priors in (4, 6, 6, 6, 4, 4)]


@pytest.fixture(scope='module')
def of_six(teacher_of):
    """A teacher of another number of classes than the student's four."""
    return teacher_of(pspnet, classes=6)


def term(at='logits', loss=CWD, **settings):
    return dict(kd=dict(at=at, loss=loss, **settings))


@pytest.mark.parametrize(
    'at',
    ['logits', 'decode_head.conv_seg', '{decode,auxiliary}_head.conv_seg'],
)
@pytest.mark.parametrize('loss', [CWD, PIXEL_WISE])
@pytest.mark.parametrize('settings', [{}, dict(connector='none')])
def test_another_number_of_classes_is_refused(of_six, at, loss, settings):
    with pytest.raises(
        ValueError,
        match=r"term 'kd': the classifier of the student has 4 classes and "
        r'that of the teacher 6, .* Compare those in common: classes=\[',
    ):
        distiller(pspnet(), of_six, term(at, loss, **settings))


def test_an_explicit_connector_may_turn_classes_into_others(of_six, log_lines):
    connector = dict(type='mmdistill_dense.ConvConnector')
    terms = term(connector=connector)
    model = distiller(pspnet(), of_six, terms)
    assert step_losses(model, segmentation_batch())['loss_kd'] > 0
    assert not [line for line in log_lines if 'class names' in line]


def test_another_number_of_priors_is_refused(teacher_of):
    at = dict(student='bbox_head.retina_cls', teacher='bbox_head.conv_cls')
    with pytest.raises(
        ValueError,
        match=r'classifier of the student has 9 priors per position and that '
        r"of the teacher 1, .*Record maps, such as 'neck'",
    ):
        distiller(zoo.retinanet(), teacher_of(zoo.fcos), term(at))


@pytest.mark.parametrize('loss', [CWD, PIXEL_WISE])
def test_indices_select_the_same_channels_of_the_step(of_six, loss):
    classes = dict(student=[3, 0], teacher=[5, 1])
    model = distiller(pspnet(), of_six, term(loss=loss, classes=classes))
    assert not list(model.distill.parameters())
    batch = segmentation_batch()
    seen = {}
    model.init_weights()
    teacher = model.distill.teachers['teacher'].model
    for side, m in (('student', model), ('teacher', teacher)):
        m.decode_head.conv_seg.register_forward_hook(
            lambda m, x, y, side=side: seen.__setitem__(side, y),
            prepend=True,  # the teacher stops at its recorder
        )
    value = step_losses(model, batch)['loss_kd']
    compare = {
        CWD['type']: channel_wise_divergence,
        PIXEL_WISE['type']: pixel_wise_divergence,
    }
    expected = compare[loss['type']](
        student=seen['student'][:, [3, 0]], teacher=seen['teacher'][:, [5, 1]]
    )
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)


def levels(classes, priors, size=4):
    scores = ClassScores(classes, priors)
    shape = (2, classes * priors, size, size)
    spec = FeatureSpec((1, *shape[1:]), (8, 8), scores=scores)
    return [spec], [torch.randn(shape)]


def test_the_classes_of_each_prior_are_selected():
    student_specs, (student,) = levels(3, 9)
    teacher_specs, (teacher,) = levels(5, 9)
    classes = dict(student=[2, 0], teacher=[4, 3])
    kd = Term('kd', CWD, student_specs, teacher_specs, classes=classes)
    aligned = kd.align(0, [student], [teacher])
    expected = student.view(2, 9, 3, 4, 4)[:, :, [2, 0]].flatten(1, 2)
    assert torch.equal(aligned['student'], expected)
    expected = teacher.view(2, 9, 5, 4, 4)[:, :, [4, 3]].flatten(1, 2)
    assert torch.equal(aligned['teacher'], expected)


def test_pixel_wise_takes_a_softmax_per_prior_and_channel_wise_does_not_care():
    specs, (student,) = levels(3, 9)
    teacher = torch.randn_like(student)
    by_prior = [x.view(18, 3, 4, 4) for x in (student, teacher)]
    for loss, divergence in (
        (PIXEL_WISE, pixel_wise_divergence),
        (CWD, channel_wise_divergence),
    ):
        value = Term('kd', loss, specs, specs)([student], [teacher])
        expected = divergence(student=by_prior[0], teacher=by_prior[1])
        assert value.item() == pytest.approx(expected.item(), rel=1e-6)


def test_pixel_wise_on_a_dense_detector(teacher_of):
    teacher = teacher_of(zoo.retinanet)
    model = distiller(zoo.retinanet(), teacher, term(loss=PIXEL_WISE))
    batch = detection_batch(1, (64, 64))
    assert step_losses(model, batch)['loss_kd'] > 0
    one_class = teacher_of(mask_rcnn)
    at = 'rpn_head.rpn_cls'
    with pytest.raises(ValueError, match='a softmax over one class is always'):
        distiller(mask_rcnn(), one_class, term(at, PIXEL_WISE))


@pytest.mark.parametrize(
    ('classes', 'message'),
    [
        ('road', "must be names or indices.*got 'road'"),
        ([], 'must be names or indices'),
        ([0, 0], 'each once'),
        ([True], 'must be names or indices'),
        ([0.5], 'must be names or indices'),
        (dict(student=[0]), 'must be names or indices'),
        (dict(student=[0], teacher=[1, 2]), 'of equally many'),
        ([0, 4], '4 is no class of the student, which has 4: expected 0 to 3'),
        ([-1, 2], '-1 is no class of the student'),
        (dict(student=[0], teacher=[6]), '6 is no class of the teacher'),
    ],
)
def test_classes_that_are_refused(of_six, classes, message):
    with pytest.raises(ValueError, match=f"term 'kd': classes.*{message}"):
        distiller(pspnet(), of_six, term(classes=classes))


@pytest.fixture
def named(tmp_path):
    """A model, and names of the classes of its student and its teacher."""
    visualizer = Visualizer.get_instance(str(tmp_path))

    def make(teacher, student_names, teacher_names, key='classes', **settings):
        visualizer.dataset_meta = student_names and dict(classes=student_names)
        content = torch.load(teacher['checkpoint'])
        content['meta'] = dict(dataset_meta={key: teacher_names})
        path = str(tmp_path / 'named.pth')
        torch.save(content, path)
        teacher = dict(teacher, checkpoint=path)
        return distiller(pspnet(), teacher, term(**settings))

    yield make
    Visualizer._instance_dict.pop(str(tmp_path))


FOUR = ('road', 'car', 'sky', 'tree')
SIX = ['tree', 'sign', 'car', 'road', 'sky', 'bus']


@pytest.mark.parametrize('key', ['classes', 'CLASSES'])
def test_names_find_the_classes_in_common(of_six, named, key, log_lines):
    model = named(of_six, FOUR, SIX, key, classes=['car', 'tree'])
    by_index = dict(student=[1, 3], teacher=[2, 0])
    other = distiller(pspnet(), of_six, term(classes=by_index))
    other.load_state_dict(model.state_dict())
    for one in (model, other):
        one.init_weights()
    other.load_state_dict(model.state_dict())
    batches = segmentation_batch(), segmentation_batch()
    values = [
        step_losses(m.eval(), batch)['loss_kd'].item()
        for m, batch in zip((model, other), batches, strict=True)
    ]
    assert values[0] == values[1]
    assert [line for line in log_lines if '    classes car, tree' in line]


def test_a_name_that_is_not_there(of_six, named):
    model = named(of_six, FOUR, SIX, classes=['car', 'bus'])
    with pytest.raises(
        ValueError,
        match=r"term 'kd': classes: 'bus' is no class of the student, which "
        'has road, car, sky, tree',
    ):
        model.init_weights()


@pytest.mark.parametrize(
    ('student', 'teacher', 'side'),
    [(None, SIX, 'student'), (FOUR, None, 'teacher'), (FOUR, FOUR, 'teacher')],
)
def test_a_name_that_cannot_be_known(of_six, named, student, teacher, side):
    model = named(of_six, student, teacher, classes=['car', 'tree'])
    with pytest.raises(
        ValueError,
        match=rf"'car' cannot be found, as the names of the {side}'s classes "
        'are not known: .* Give indices: classes=dict',
    ):
        model.init_weights()


def test_names_in_another_order_are_refused(seg_teacher, named):
    model = named(seg_teacher, FOUR, ['road', 'sky', 'car', 'tree'])
    with pytest.raises(
        ValueError,
        match=r"term 'kd': 2 of 4 classes .*: 'car' <- 'sky', 'sky' <- 'car'"
        r'\. Give the names in common as classes=\[\.\.\.\]',
    ):
        model.init_weights()


def test_indices_win_over_names_and_a_line_says_so(
    seg_teacher, named, log_lines
):
    indices = list(range(4))
    other = ['road', 'auto', 'sky', 'tree']
    named(seg_teacher, FOUR, other, classes=indices).init_weights()
    assert [line for line in log_lines if "'car' <- 'auto'." in line]


def test_equal_names_are_no_news(seg_teacher, named, log_lines):
    named(seg_teacher, FOUR, list(FOUR)).init_weights()
    assert not [line for line in log_lines if ' class' in line]


def test_names_that_are_not_known_are_logged_once(
    seg_teacher, named, log_lines
):
    model = named(seg_teacher, None, None)
    for _ in range(2):
        step_losses(model, segmentation_batch())
    (line,) = [x for x in log_lines if 'class names' in x]
    assert 'of the student and the teacher are not known' in line


def test_maps_have_no_classes(seg_teacher, named, log_lines):
    terms = cwd('backbone')
    named(seg_teacher, FOUR, SIX[:4], **terms).init_weights()
    assert not [line for line in log_lines if ' class' in line]
