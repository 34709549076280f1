"""Nothing that would teach nothing gets past building a model."""

import pytest
from mmengine.registry import MODELS
from torch import nn

from ..helpers.models import cwd, distiller, mask_rcnn, pspnet
from . import zoo


@pytest.fixture(scope='module')
def det(teacher_of):
    teacher = teacher_of(mask_rcnn)
    return lambda **terms: distiller(mask_rcnn(), teacher, terms)


@pytest.fixture(scope='module')
def seg(seg_teacher):
    return lambda **terms: distiller(pspnet(), seg_teacher, terms)


@pytest.mark.parametrize(
    ('at', 'message'),
    [
        (
            'neck.fpn_conv',
            r"term 'kd', student: no module matches 'neck\.fpn_conv'\. "
            r'Nearest names: neck\.fpn_convs',
        ),
        (
            dict(student='neck', teacher='nec'),
            r"term 'kd', teacher .*: no module matches 'nec'\. "
            'Nearest names: neck',
        ),
        (
            'neck.fpn_convs',
            r"term 'kd', student: .*'neck\.fpn_convs' recorded nothing.*"
            r"record their members, 'neck\.fpn_convs\.\*'",
        ),
    ],
)
def test_a_module_that_is_not_there_or_not_called(det, at, message):
    with pytest.raises((ValueError, RuntimeError), match=message):
        det(kd=cwd(at))


def test_levels_that_cannot_be_aligned(det):
    at = dict(student='neck.fpn_convs.{0,1}', teacher='neck.fpn_convs.{2..3}')
    model = det(kd=cwd(at))  # equally many: resized
    assert model.distill.terms.kd.pairs == [(0, 0), (1, 1)]
    at = dict(student='neck.fpn_convs.0', teacher='neck.fpn_convs.{2..3}')
    with pytest.raises(
        ValueError,
        match=r"term 'kd': 1 student levels \(32 channels at stride 4\) "
        r'cannot be aligned with 2 teacher levels \(32 channels at stride 16',
    ):
        det(kd=cwd(at))


def test_a_connector_that_does_not_fit(det):
    connector = dict(type='mmdistill_dense.ConvConnector', out_channels=5)
    with pytest.raises(
        ValueError,
        match=r"term 'kd': .*student \(1, 5, 16, 16\) and teacher "
        r'\(1, 32, 16, 16\) differ',
    ):
        det(kd=cwd(connector=connector))


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('a.b', r"'a\.b' is no name for a term"),
        ('2nd', "'2nd' is no name for a term"),
        ('loss_cwd', "'loss_cwd' begins with .*: call it 'cwd'"),
        ('loss', "'loss' begins with .*: call it 'kd'"),
        ('mask', "'mask' would be logged as loss_mask, .*such as mask_kd"),
        ('cls', "'cls' would be logged as loss_cls, which .* returns itself"),
        ('rpn_bbox', "'rpn_bbox' would be logged as loss_rpn_bbox, which"),
    ],
)
def test_a_name_whose_loss_would_be_lost_or_take_anothers_place(
    det, name, message
):
    with pytest.raises(ValueError, match=f'terms: {message}'):
        det(**{name: cwd()})


def test_what_belongs_to_queries_and_not_to_images(teacher_of):
    # The decoder stacks what its two layers give.
    teacher = teacher_of(zoo.deformable_detr)
    with pytest.raises(
        ValueError,
        match=r"term 'kd': the student gives \(2, 1, 10, 32\) for one image, "
        '.*per query or proposal.*Record maps',
    ):
        distiller(teacher['cfg'], teacher, dict(kd=cwd('decoder')))


def test_regions_in_a_loss_of_maps(det):
    with pytest.raises(
        ValueError, match=r"term 'kd': .* a non-empty \(N, C, H, W\) map, got"
    ):
        det(kd=cwd('roi_head.bbox_head.fc_cls'))


def test_a_feature_that_is_changed_in_place_behind_its_module(seg):
    # decode_head.bottleneck is conv, bn and an in-place ReLU.
    with pytest.raises(
        RuntimeError,
        match=r"term 'kd', student: the output of 'decode_head\.bottleneck"
        r"\.bn' was changed in place .*clone=True",
    ):
        seg(kd=cwd('decode_head.bottleneck.bn'))
    at = dict(path='decode_head.bottleneck.bn', clone=True)
    assert seg(kd=cwd(at)).distill.recorders['kd'].recorders[0].clone


@pytest.mark.parametrize(
    ('term', 'error', 'message'),
    [
        (cwd(None), ValueError, r"term 'kd': at must be .*, got None"),
        (cwd(''), ValueError, "term 'kd': at must be .*, got ''"),
        (cwd(dict(student='neck')), ValueError, 'at must be a module path'),
        (cwd(dict(path='neck', copy=True)), ValueError, 'at must be a module'),
        (cwd(dict(path='neck', take='grad')), ValueError, "got 'grad'"),
        (dict(at='neck'), ValueError, "term 'kd': no 'loss' is given"),
        (cwd(teacher='big'), ValueError, "teacher='big' is none of"),
        (cwd(weight=-1.0), ValueError, r'a weight must be .* got -1\.0'),
        (cwd(tau=0), ValueError, 'tau must be a finite number above 0'),
        (cwd(grid='mine'), ValueError, "term 'kd': grid must be one of"),
        (cwd(level_weights=[1]), ValueError, '1 entries, but 5 levels'),
        (cwd(level_weight=[1]), TypeError, "term 'kd': .*'level_weight'"),
        (cwd('logits'), ValueError, "term 'kd', student: .*at='logits'"),
    ],
)
def test_settings_of_a_term(det, term, error, message):
    with pytest.raises(error, match=message):
        det(kd=term)


@pytest.mark.parametrize(
    ('teacher', 'error', 'message'),
    [
        (None, ValueError, r"term 'kd': teacher=None is none of .*\[\]"),
        (dict(checkpoint='x.pth'), ValueError, r"teacher 'teacher': expected"),
        (dict(cfg='x.py', weights='x.pth'), ValueError, "'weights'"),
        (pspnet(), ValueError, r"type='EncoderDecoder' .*write dict\(cfg=d"),
        (dict(big=pspnet()), ValueError, "teacher 'big': .*Of a stock model"),
        (dict(cfg='x.py', type='X'), ValueError, "type='X' is no registered"),
        ('mmdet::a/b.py', ValueError, "or several .*, got 'mmdet::a/b.py'"),
        (dict(cfg='x.py'), FileNotFoundError, r"config 'x\.py' does not"),
        (dict(cfg=dict(model=None)), ValueError, 'holds no model'),
        (dict(cfg=3), ValueError, 'must be .* a file or a dict, got int'),
    ],
)
def test_settings_of_a_teacher(teacher, error, message):
    with pytest.raises(error, match=message):
        distiller(pspnet(), teacher, dict(kd=cwd('backbone')))


def test_several_teachers_of_which_a_term_names_none(seg_teacher):
    with pytest.raises(
        ValueError,
        match=r"term 'kd': teacher=None is none of the teachers \['a', 'b'\]. "
        'With several, each term names its own',
    ):
        distiller(
            pspnet(),
            dict(a=seg_teacher, b=seg_teacher),
            dict(kd=cwd('backbone')),
        )


@pytest.mark.parametrize('student', ['mmdet::a/b.py', 3, None])
def test_a_student_that_is_no_config(student):
    with pytest.raises(
        TypeError, match=r'student must be the config of a stock model .* got'
    ):
        distiller(student)


def test_a_student_that_is_no_detector_or_segmentor():
    with pytest.raises(
        ValueError, match='Linear cannot be distilled: expected a stock'
    ):
        distiller(nn.Linear(2, 2))


def test_a_student_that_is_semi_supervised():
    with pytest.raises(
        ValueError,
        match=r'SoftTeacher cannot be distilled: it is semi-supervised.*'
        'Distil its detector: student=',
    ):
        distiller(zoo.soft_teacher())


def test_a_model_without_a_neck(seg):
    with pytest.raises(
        ValueError,
        match=r"term 'kd', student: DistilledEncoderDecoder has no neck",
    ):
        seg(kd=cwd('neck'))


def test_a_student_that_is_distilled_already():
    student = distiller(pspnet())
    with pytest.raises(ValueError, match='without a distill of its own'):
        MODELS.build(
            dict(type='mmdistill_dense.DenseDistiller', student=student)
        )
