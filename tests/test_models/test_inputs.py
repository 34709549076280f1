"""The teacher gets the image as its own preprocessor would give it."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import MODELS

from mmdistill_dense.models.hosts import InputAdapter, InputForm

from ..helpers.batches import detection_batch, segmentation_batch
from ..helpers.models import cwd, distiller, pspnet
from . import zoo

IMAGENET = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
CAFFE = dict(mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0])
#: Settings that both hosts spell alike, and the value of padding.
FORMS = {
    'imagenet': (dict(**IMAGENET, bgr_to_rgb=True), 0),
    'caffe': (dict(**CAFFE, bgr_to_rgb=False), 0),
    'other padding': (dict(**IMAGENET, bgr_to_rgb=True), 1.5),
    'raw': (dict(), 114),
    'raw and swapped': (dict(bgr_to_rgb=True), 0),
    'rgb loaded': (dict(**CAFFE, rgb_to_bgr=True), 0),
    'half': (dict(mean=[127.5] * 3, std=[127.5] * 3), -1),
}


def mmdet_preprocessor(name):
    settings, pad = FORMS[name]
    return MODELS.build(
        dict(
            type='mmdet.DetDataPreprocessor',
            pad_size_divisor=32,
            pad_value=pad,
            **settings,
        )
    )


def mmseg_preprocessor(name):
    settings, pad = FORMS[name]
    return MODELS.build(
        dict(
            type='mmseg.SegDataPreProcessor',
            size=(96, 96),
            pad_val=pad,
            **settings,
        )
    )


HOSTS = dict(
    mmdet=(mmdet_preprocessor, detection_batch),
    mmseg=(mmseg_preprocessor, segmentation_batch),
)


def form_of(preprocessor):
    return InputForm.of(SimpleNamespace(data_preprocessor=preprocessor))


def two_sizes(make):
    """A batch of which both images need padding, each other padding."""
    first, second = make(1, (70, 64)), make(1, (64, 90), seed=1)
    return {key: first[key] + second[key] for key in first}


@pytest.mark.parametrize('host', HOSTS)
@pytest.mark.parametrize('teacher', FORMS)
@pytest.mark.parametrize('student', ['imagenet', 'caffe', 'raw and swapped'])
def test_the_teachers_image_is_that_of_its_own_preprocessor(
    host, student, teacher
):
    build, make = HOSTS[host]
    student, teacher = build(student), build(teacher)
    batch = two_sizes(make)
    expected = teacher(deepcopy(batch), True)['inputs']
    data = student(batch, True)
    adapter = InputAdapter(form_of(student), form_of(teacher))
    images = adapter(data['inputs'], data['data_samples'])
    assert images.shape == (2, 3, 96, 96)
    torch.testing.assert_close(images, expected, rtol=1e-5, atol=1e-4)


def test_a_teacher_of_the_other_host():
    student = mmseg_preprocessor('imagenet')
    teacher = mmdet_preprocessor('caffe')
    batch = segmentation_batch(2, (96, 96))
    raw = torch.stack(batch['inputs']).float()
    data = student(batch, True)
    adapter = InputAdapter(form_of(student), form_of(teacher))
    images = adapter(data['inputs'], data['data_samples'])
    expected = raw - torch.tensor(CAFFE['mean']).view(3, 1, 1)
    torch.testing.assert_close(images, expected, rtol=1e-5, atol=1e-4)


def test_the_students_batch_is_not_written_to():
    student = mmdet_preprocessor('imagenet')
    teacher = mmdet_preprocessor('raw')
    data = student(two_sizes(detection_batch), True)
    before = data['inputs'].clone()
    adapter = InputAdapter(form_of(student), form_of(teacher))
    adapter(data['inputs'], data['data_samples'])
    assert torch.equal(data['inputs'], before)


def test_equal_forms_pass_the_same_tensor():
    form = form_of(mmdet_preprocessor('imagenet'))
    same = form_of(mmseg_preprocessor('imagenet'))
    images = torch.randn(1, 3, 8, 8)
    assert InputAdapter(form, same)(images, [None]) is images


def test_padding_alone_makes_forms_differ():
    form = form_of(mmdet_preprocessor('imagenet'))
    other = form_of(mmdet_preprocessor('other padding'))
    assert not InputAdapter(form, other).identical


def test_one_mean_for_all_channels_is_spread():
    preprocessor = MODELS.build(
        dict(type='mmdet.DetDataPreprocessor', mean=[5.0], std=[2.0])
    )
    form = form_of(preprocessor)
    assert form.mean == (5.0,) * 3
    assert form.std == (2.0,) * 3


def test_a_model_without_a_preprocessor_takes_raw_images():
    expected = InputForm((0.0,) * 3, (1.0,) * 3, False, 0.0)
    assert InputForm.of(SimpleNamespace()) == expected


def test_the_adapter_is_in_no_checkpoint_and_follows_dtype():
    adapter = InputAdapter(
        form_of(mmdet_preprocessor('imagenet')),
        form_of(mmdet_preprocessor('caffe')),
    )
    assert not adapter.state_dict()
    assert adapter.double().scale.dtype == torch.float64


def test_a_semi_supervised_teacher_wraps_its_preprocessor():
    wrapper = MODELS.build(zoo.soft_teacher()).data_preprocessor
    form = form_of(wrapper)
    assert form == form_of(wrapper.data_preprocessor)
    assert form.mean == pytest.approx(CAFFE['mean'])


def test_a_distilled_model_shows_its_teacher_the_other_form(teacher_of):
    other = dict(mean=CAFFE['mean'], std=CAFFE['std'], bgr_to_rgb=False)
    options = {f'data_preprocessor.{k}': v for k, v in other.items()}
    teacher = teacher_of(pspnet, **options)
    model = distiller(pspnet(), teacher, dict(kd=cwd('backbone')))
    batch = segmentation_batch()
    raw = torch.stack(batch['inputs']).float()
    data = model.data_preprocessor(batch, True)
    model.init_weights()
    seen = []
    frozen = model.distill.teachers['teacher'].model
    frozen.backbone.register_forward_pre_hook(lambda m, x: seen.append(x[0]))
    model(**data, mode='loss')
    expected = raw - torch.tensor(CAFFE['mean']).view(3, 1, 1)
    torch.testing.assert_close(seen[0], expected, rtol=1e-5, atol=1e-4)


def gray(mean=100.0):
    """A segmentor of images of one channel."""
    cfg = pspnet()
    cfg.backbone.in_channels = 1
    cfg.data_preprocessor.update(mean=[mean], std=[10.0])
    return cfg


@pytest.mark.parametrize('switches', [{}, dict(fold_bn=True)])
def test_images_of_one_channel(teacher_of, switches):
    teacher = dict(teacher_of(gray, mean=50.0), **switches)
    model = distiller(gray(), teacher, dict(kd=cwd('backbone')))
    batch = segmentation_batch(channels=1)
    raw = torch.stack(batch['inputs']).float()
    images = model.data_preprocessor(batch, True)
    adapter = model.distill.teachers['teacher'].input_adapter
    torch.testing.assert_close(adapter(**images_of(images)), (raw - 50) / 10)
    assert model(**images, mode='loss')['loss_kd'] > 0


def images_of(data):
    return dict(inputs=data['inputs'], samples=data['data_samples'])


def test_another_number_of_channels_is_refused(teacher_of):
    teacher = teacher_of(pspnet)
    with pytest.raises(
        ValueError,
        match=r"term 'kd', teacher 'teacher': its images have 3 channels, and "
        'those of the student 1, expected equally many',
    ):
        distiller(gray(), teacher, dict(kd=cwd('backbone')))
