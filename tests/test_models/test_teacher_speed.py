"""A teacher's switches: the same maps, or nearly, and nothing silent."""

from copy import deepcopy

import pytest
import torch
from torch import nn

from mmdistill_dense.models.teachers.speed import SpeedSwitches, measure_drift

from ..helpers.batches import detection_batch, segmentation_batch, step_losses
from ..helpers.models import cwd, distiller, mask_rcnn, pspnet

DET, SEG = detection_batch(1, (64, 64)), segmentation_batch()
HOSTS = dict(
    detector=(mask_rcnn, 'neck', DET), segmentor=(pspnet, 'logits', SEG)
)
EVERYTHING = dict(precision='bf16', fold_bn=True, channels_last=True)


@pytest.fixture(params=HOSTS)
def name(request):
    """Of the host's kind of model."""
    return request.param


@pytest.fixture
def host(name, teacher_of):
    """``host(**switches)``: a distilled model, and a batch for it."""
    build, at, batch = HOSTS[name]
    depth = 50 if build is pspnet else 18
    teacher = teacher_of(build, depth=depth)

    def make(**switches):
        torch.manual_seed(0)
        model = distiller(build(), dict(teacher, **switches), dict(kd=cwd(at)))
        model.init_weights()
        return model, batch

    return make


def teacher_in(model):
    return model.distill.teachers['teacher']


def first_conv(model):
    modules = teacher_in(model).model.backbone.modules()
    return next(m for m in modules if isinstance(m, nn.Conv2d))


def loss_of(model, batch):
    torch.manual_seed(1)
    return step_losses(model, batch)['loss_kd']


@pytest.fixture
def rounding(name):
    """Relative difference of two losses that only rounding parts.

    Segmentors are in float64: maps of their untrained logits differ so
    little that float32 leaves four digits of the loss, or three, as the
    processor will have it. Detectors have ops in float32 alone.
    """
    if name == 'detector':
        yield 1e-4
        return
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield 1e-9
    torch.set_default_dtype(before)


@pytest.mark.parametrize(
    'switches',
    [
        dict(fold_bn=True),
        dict(channels_last=True),
        dict(fold_bn=True, channels_last=True),
    ],
    ids=str,
)
def test_the_loss_is_the_plain_teachers(host, switches, rounding):
    plain = loss_of(*host())
    value = loss_of(*host(**switches))
    assert value.item() == pytest.approx(plain.item(), rel=rounding)
    assert value.requires_grad


@pytest.mark.parametrize(
    ('switches', 'tolerance'),
    [
        (dict(precision='bf16'), 2e-2),
        (dict(precision='fp16'), 5e-3),
        (EVERYTHING, 2e-2),
        (dict(stream=True), 0),
        (dict(precision='fp32'), 0),
    ],
    ids=str,
)
def test_the_loss_is_nearly_the_plain_teachers(host, switches, tolerance):
    plain = loss_of(*host())
    value = loss_of(*host(**switches))
    assert value.item() == pytest.approx(plain.item(), rel=tolerance)
    assert value.requires_grad


def test_batch_norms_are_folded(host):
    plain, folded = (
        teacher_in(host(fold_bn=f)[0]).model for f in (False, True)
    )
    ran = {n for n, m in plain.named_modules() if is_norm(m)}
    left = {n for n, m in folded.named_modules() if is_norm(m)}
    assert left < ran
    # Those that no recorded map needs are not run, so they stay.
    assert all(n.startswith(('auxiliary_head', 'roi_head')) for n in left)
    assert not list(folded.parameters())
    assert not folded.state_dict()


def is_norm(module):
    return isinstance(module, nn.modules.batchnorm._BatchNorm)


def test_weights_are_kept_in_low_precision(host):
    model, batch = host(**EVERYTHING)
    convolutions = [
        m for m in teacher_in(model).model.modules() if type(m) is nn.Conv2d
    ]
    assert {m.weight.dtype for m in convolutions} == {torch.bfloat16}
    channels_last = torch.channels_last
    assert all(
        m.weight.is_contiguous(memory_format=channels_last)
        for m in convolutions
    )
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    kept = []
    first_conv(model).register_forward_hook(lambda *args: kept.append(args[2]))
    step_losses(model, batch)
    assert kept[0].dtype == torch.bfloat16
    assert kept[0].is_contiguous(memory_format=channels_last)


def test_the_teacher_leaves_autocast_for_fp32(host):
    model, batch = host(precision='fp32')
    kept = []
    first_conv(model).register_forward_hook(
        lambda *args: kept.append(args[2].dtype)
    )
    data = model.data_preprocessor(batch, True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        teacher_in(model)(data['inputs'], data['data_samples'], ['kd'])
    assert kept == [torch.float32]


def test_compiled(host, rounding):
    plain = loss_of(*host())
    model, batch = host(compile=dict(backend='aot_eager'), fold_bn=True)
    compiled = [
        name
        for name, module in teacher_in(model).model.named_modules()
        if module._compiled_call_impl is not None
    ]
    assert 'backbone' in compiled
    assert not any(name.startswith('backbone.') for name in compiled)
    for _ in range(2):
        assert loss_of(model, batch).item() == pytest.approx(
            plain.item(), rel=rounding
        )


def test_a_copy_with_switches_shares_the_weights(host):
    model, batch = host(**EVERYTHING)
    twin = deepcopy(model)
    original, copied = map(first_conv, (model, twin))
    assert original.weight.data_ptr() == copied.weight.data_ptr()
    assert loss_of(twin, batch).item() == loss_of(model, batch).item()


def test_what_is_on_is_logged(host, log_lines):
    host(fold_bn=True, precision='bf16')
    (line,) = (x for x in log_lines if 'runs with' in x)
    assert "precision='bf16', fold_bn=True; on a noise image" in line
    log_lines.clear()
    model, _ = host()
    assert not [x for x in log_lines if 'runs with' in x]
    assert teacher_in(model).drift == 0


def test_how_far_it_moved_is_measured(host):
    moved = {
        name: teacher_in(host(**switches)[0]).drift
        for name, switches in (
            ('folded', dict(fold_bn=True)),
            ('low', dict(precision='bf16')),
        )
    }
    assert 0 < moved['folded'] < 1e-5
    assert 1e-4 < moved['low'] < 0.1


def test_weights_are_inherited_from_the_plain_teacher(teacher_of):
    teacher = teacher_of(mask_rcnn, depth=18)
    models = [
        distiller(
            mask_rcnn(),
            dict(teacher, **switches),
            dict(kd=cwd('neck')),
            inherit=['backbone.layer4', 'neck'],
        )
        for switches in (dict(), EVERYTHING)
    ]
    for model in models:
        model.init_weights()
    plain, fast = (model.backbone.layer4.state_dict() for model in models)
    assert len(plain) > 20
    assert all(torch.equal(plain[key], fast[key]) for key in plain)


@pytest.mark.parametrize(
    ('switches', 'message'),
    [
        (dict(precision='half'), 'precision must be one of fp32, bf16, fp16'),
        (dict(fold_bn='yes'), 'fold_bn must be True or False, got'),
        (dict(compile='max'), 'compile must be True or False, or a dict'),
        (dict(fold=True), r"got the keys .*'fold'"),
    ],
)
def test_switches_that_are_refused(teacher_of, switches, message):
    teacher = dict(teacher_of(pspnet, depth=50), **switches)
    with pytest.raises(ValueError, match=message):
        distiller(pspnet(), teacher, dict(kd=cwd('logits')))


def test_a_teacher_that_they_break_is_refused(host, monkeypatch):
    def fold_wrongly(model, run):
        with torch.no_grad():
            next(model.backbone.parameters()).mul_(-1)

    monkeypatch.setattr(
        'mmdistill_dense.models.teachers.speed.fold_batch_norms', fold_wrongly
    )
    with pytest.raises(RuntimeError, match="fold_bn=True the maps of 'kd'"):
        host(fold_bn=True)


def test_an_op_without_low_precision_is_named(host, monkeypatch):
    def refuse(*args):
        raise RuntimeError('"roi_align" not implemented for BFloat16')

    model, _ = host()
    kind = type(teacher_in(model).model.backbone)
    forward = kind.forward
    monkeypatch.setattr(
        kind,
        'forward',
        lambda self, x: (
            refuse() if torch.is_autocast_enabled('cpu') else forward(self, x)
        ),
    )
    with pytest.raises(
        RuntimeError,
        match=r"teacher 'teacher' does not run with precision='bf16': .*"
        'roi_align.* Remove a switch',
    ):
        host(precision='bf16')


def test_overflow_is_no_small_difference():
    one = dict(kd=[torch.ones(2)])
    for wrong in (torch.inf, torch.nan):
        other = dict(kd=[torch.tensor([1.0, wrong])])
        with pytest.raises(RuntimeError, match='fp16 may overflow'):
            measure_drift(one, other, SpeedSwitches(precision='fp16'))
    assert measure_drift(one, one, SpeedSwitches(precision='fp16')) == 0


def test_teachers_look_before_the_student_unless_they_need_regions(teacher_of):
    order = []
    teacher = teacher_of(mask_rcnn)
    box = dict(
        at='roi_head.bbox_head.fc_reg',
        loss=dict(type='mmdistill_dense.ImitationLoss'),
    )
    for terms, expected in (
        (dict(kd=cwd('neck')), ['teacher', 'student']),
        (dict(kd=box), ['student', 'teacher']),
    ):
        order.clear()
        model = distiller(mask_rcnn(), teacher, terms)
        model.init_weights()
        for name, other in (
            ('student', model),
            ('teacher', teacher_in(model).model),
        ):
            other.backbone.register_forward_pre_hook(
                lambda *_, name=name: order.append(name)
            )
        losses = step_losses(model, DET)
        assert order == expected
        assert losses['loss_kd'].requires_grad
