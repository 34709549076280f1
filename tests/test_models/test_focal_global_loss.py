"""FGD as a loss: its published values, boxes, blocks and memory."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mmdistill_dense.models.losses import FocalGlobalLoss
from mmdistill_dense.models.losses.inputs import Targets
from mmdistill_tools.benchmark.meter import measure, saved_bytes

from ..helpers.batches import detection_batch, step_losses, total
from ..helpers.focal_global import plain_loss
from ..helpers.models import distiller, mask_rcnn, pspnet
from ..helpers.published import fixture_maps
from . import zoo

WEIGHTS = 'foreground', 'background', 'attention', 'context'
#: Boxes of the fixture in pixels, on images of 32x48 at stride 8.
BOXES = (
    [[4, 4, 20, 12], [17, 9, 18, 10], [40, 20, 48, 32]],
    [[10, 6, 30, 25]],
)
WHOLE, POINT = [[0, 0, 48, 32]], [[16, 16, 16, 16]]


@pytest.fixture
def maps():
    return dict(zip(('student', 'teacher'), fixture_maps(), strict=True))


def targets(*boxes, image=(32, 48), stride=(8.0, 8.0)):
    return Targets(
        [image] * len(boxes),
        (32, 48),
        stride,
        [torch.tensor(x, dtype=torch.float64).view(-1, 4) for x in boxes],
    )


def fixture_loss(**settings):
    """The loss with the weights of the fixture, in float64."""
    loss = FocalGlobalLoss([8], **settings).double()
    blocks = loss.student_blocks[0], loss.teacher_blocks[0]
    rs = np.random.RandomState(1)
    for block in blocks:
        block.key.data = torch.from_numpy(0.5 * rs.randn(1, 8)[0])
        rs.randn(1)  # a bias, which a softmax does not see
    for block in blocks:
        arrays = [
            0.5 * rs.randn(4, 8),
            0.1 * rs.randn(4),
            1 + 0.1 * rs.randn(4),
            0.1 * rs.randn(4),
            0.5 * rs.randn(8, 4),
            0.1 * rs.randn(8),
        ]
        for module in (block.fc1, block.norm, block.fc2):
            module.weight.data = torch.from_numpy(arrays.pop(0))
            module.bias.data = torch.from_numpy(arrays.pop(0))
    return loss


def only(name, **settings):
    """The loss with one distance of weight 1, or the class's weights."""
    if name != 'total':
        settings |= {f'{key}_weight': float(key == name) for key in WEIGHTS}
    return fixture_loss(**settings)


@pytest.mark.parametrize(
    ('name', 'expected', 'norm', 'first'),
    [
        (
            'foreground',
            147.6367161590358,
            11.450225928855234,
            [0.13119499504879167, 0.36456451357518865, 0.6928753954883241],
        ),
        (
            'background',
            71.66551622685405,
            6.263755302696166,
            [0.08684679338430329, -0.07839015111691412, 0.023571764610164712],
        ),
        (
            'attention',
            25.41978506131953,
            2.1029346337042742,
            [0.30975043917494477, -0.17461626861472782, -0.029551012241039957],
        ),
        (
            'context',
            1842.1881421376786,
            97.87012071296645,
            [4.0487677676599665, 1.7573340604518157, 4.065495594337821],
        ),
        (
            'total',
            0.21810020004447078,
            0.011839646573554737,
            [
                4.611892730620363e-4,
                1.9873491526271978e-4,
                6.836518612189733e-4,
            ],
        ),
    ],
)
def test_the_published_values(maps, name, expected, norm, first):
    loss = only(name)
    value = loss(**maps, level=0, targets=targets(*BOXES))
    value.backward()
    gradient = maps['student'].grad
    assert value.item() == pytest.approx(expected, rel=1e-12)
    assert gradient.norm().item() == pytest.approx(norm, rel=1e-12)
    found = gradient[gradient != 0][:3].tolist()
    assert found == pytest.approx(first, rel=1e-12)


def norms(loss):
    """Norms of the gradients of weights, by block and name."""
    sides = dict(s=loss.student_blocks[0], t=loss.teacher_blocks[0])
    return {
        f'{name}_{side}': parameter.grad.norm().item()
        for side, block in sides.items()
        for name, parameter in dict(
            key=block.key, fc1=block.fc1.weight, fc2=block.fc2.weight
        ).items()
    }


def test_the_published_gradients_of_both_blocks(maps):
    loss = fixture_loss()
    loss(**maps, level=0, targets=targets(*BOXES)).backward()
    expected = dict(
        key_s=1.4673358718838183e-3,
        key_t=2.4588634143866686e-3,
        fc1_t=8.265132797287783e-4,
        fc2_s=1.0207169344032352e-3,
        fc2_t=1.373648725764551e-3,
    )
    found = norms(loss)
    found = {k: found[k] for k in expected}
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ('boxes', 'settings', 'expected'),
    [
        (
            (BOXES[0], []),
            {},
            dict(
                foreground=81.32901712897932,
                background=111.53785723491075,
                total=0.17172867151844262,
            ),
        ),
        (
            (BOXES[0], WHOLE),
            {},
            dict(foreground=124.49367080912259, background=48.58940395136848),
        ),
        (
            (POINT, BOXES[1]),
            {},
            dict(foreground=199.03895535320535, background=60.861014808513744),
        ),
        (
            BOXES,
            dict(tau=0.8),
            dict(foreground=125.08120103609635, attention=16.207048203839943),
        ),
    ],
)
def test_special_cases(maps, boxes, settings, expected):
    for name, value in expected.items():
        found = only(name, **settings)(
            **maps, level=0, targets=targets(*boxes)
        )
        assert found.item() == pytest.approx(value, rel=1e-12), name


def test_a_new_block_adds_nothing(maps):
    loss = fixture_loss()
    for block in (loss.student_blocks[0], loss.teacher_blocks[0]):
        nn.init.zeros_(block.fc2.weight)
        nn.init.zeros_(block.fc2.bias)
    loss(**maps, level=0, targets=targets(*BOXES)).backward()
    found = norms(loss)
    assert found.pop('fc2_t') == pytest.approx(6.419903907117242e-4, rel=1e-12)
    assert found.pop('fc2_s') > 0
    assert set(found.values()) == {0}
    loss.weights = {f'{k}_weight': float(k == 'context') for k in WEIGHTS}
    value = loss(**maps, level=0, targets=targets(*BOXES))
    assert value.item() == pytest.approx(1596.133521751705, rel=1e-12)
    squares = (maps['student'] - maps['teacher']).square().sum() / 2
    assert value.item() == pytest.approx(squares.item(), rel=1e-12)
    block = FocalGlobalLoss([256]).student_blocks[0]
    assert not block(torch.randn(2, 256, 3, 4)).any()
    assert block.key.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.2)


@pytest.mark.parametrize(
    ('published', 'expected'),
    [
        (True, (134.7989424638587, 63.2989461993931)),
        (False, (147.6367161590358, 71.66551622685405)),
    ],
)
def test_boxes_of_a_padded_image_are_stretched_on_request_only(
    maps, published, expected
):
    padded = targets(*BOXES, image=(28, 40))
    for name, value in zip(WEIGHTS[:2], expected, strict=True):
        loss = only(name, published_boxes=published)
        found = loss(**maps, level=0, targets=padded)
        assert found.item() == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(context_weight=-1), 'context_weight must be a finite number >='),
        (dict(tau=0), 'FocalGlobalLoss: tau must be a finite number above 0'),
        (dict(loss_weight=-1), 'FocalGlobalLoss: a weight must be a finite'),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        FocalGlobalLoss([8], **settings)


def test_tensors_without_a_stride_are_refused(maps):
    with pytest.raises(ValueError, match='without a stride'):
        fixture_loss()(**maps, level=0, targets=targets(*BOXES, stride=None))


def test_settings_are_printed():
    text = repr(FocalGlobalLoss([8], tau=0.8))
    assert 'background_weight=0.0005' in text
    assert 'tau=0.8' in text


@pytest.fixture
def level():
    """A level of a detector: loss, maps and targets in float32."""
    loss = FocalGlobalLoss([64, 64])
    for parameter in loss.parameters():
        nn.init.normal_(parameter, std=0.1)
    student, teacher = torch.randn(2, 2, 64, 60, 80)
    boxes = torch.tensor([[50.0, 60, 200, 300], [100, 100, 500, 400]])
    given = dict(
        student=student.requires_grad_(),
        teacher=teacher,
        level=1,
        targets=Targets(
            [(480, 640)] * 2, (480, 640), (8, 8), [boxes, boxes[:1]]
        ),
    )
    return SimpleNamespace(loss=loss, given=given, size=student.nbytes)


def test_value_and_gradients_are_those_of_the_plain_form(level):
    trained = [level.given['student'], *level.loss.parameters()]
    values = level.loss(**level.given), plain_loss(level.loss, **level.given)
    found, wanted = (
        torch.autograd.grad(
            x, trained, allow_unused=True, materialize_grads=True
        )
        for x in values
    )
    assert values[0].item() == pytest.approx(values[1].item(), rel=1e-5)
    for gradient, expected in zip(found, wanted, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-6)
    # Those of the other level got none, those of this one all.
    reached = [bool(x.any()) for x in found[1:]]
    assert reached == 2 * ([False] * 7 + [True] * 7)


def test_nothing_is_saved_but_both_maps(level):
    saved, plain = (
        saved_bytes(lambda form=form: form(**level.given))
        for form in (level.loss, partial(plain_loss, level.loss))
    )
    assert 2 * level.size <= saved <= 2.2 * level.size
    assert plain > 8 * level.size


def test_two_gradients_are_allocated(level):
    # The distances' and the block's, which are added up.
    used, plain = (
        measure(lambda form=form: form(**level.given).backward())
        for form in (level.loss, partial(plain_loss, level.loss))
    )
    assert used.peak <= 2.6 * level.size
    assert plain.peak > 9 * level.size


FGD = dict(type='mmdistill_dense.FocalGlobalLoss')


def test_a_segmentor_is_refused(teacher_of):
    terms = dict(kd=dict(at='backbone', loss=FGD))
    message = "term 'kd': .*needs boxes of targets, which a segmentor does"
    with pytest.raises(ValueError, match=message):
        distiller(pspnet(), teacher_of(pspnet, depth=50), terms)


@pytest.mark.parametrize(
    ('build', 'last', 'published'),
    [(zoo.retinanet, 4, False), (mask_rcnn, 3, True)],
)
def test_a_detector_steps(teacher_of, build, last, published):
    loss = dict(FGD, published_boxes=published)
    at = f'neck.fpn_convs.{{0..{last}}}.conv'
    model = distiller(
        build(), teacher_of(build), dict(kd=dict(at=at, loss=loss))
    )
    model.init_weights()
    batch = detection_batch(2, (96, 128))
    if build is zoo.retinanet:  # an image without boxes
        sample = batch['data_samples'][1]
        sample.gt_instances = sample.gt_instances[:0]
    losses = step_losses(model, batch)
    assert losses['loss_kd'] > 0
    total(model, losses).backward()
    blocks = model.distill.terms['kd'].loss
    assert len(blocks.student_blocks) == len(blocks.teacher_blocks) == last + 1
    for name, parameter in blocks.named_parameters():
        # What is before a layer that starts at 0 waits for a step.
        assert parameter.grad.any() == ('fc2' in name), name
    assert model.neck.fpn_convs[last].conv.weight.grad.any()
