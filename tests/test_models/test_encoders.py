"""Networks of any package as backbones, and as frozen teachers."""

from copy import deepcopy
from functools import partial

import pytest
import torch
from mmengine.registry import MODELS

from mmdistill_dense.models.distillers.term import Term
from mmdistill_dense.models.encoders import Encoder, EncoderModel
from mmdistill_dense.models.encoders.network import find
from mmdistill_dense.models.hosts import InputAdapter, InputForm, dry_run
from mmdistill_dense.recorders import RecorderSet

from ..helpers.batches import segmentation_batch, step_losses
from ..helpers.dots import SHAPES, Hat, Stock, centre_of_mass, dot, path_of_dot
from ..helpers.models import cwd, distiller, pspnet

NETWORKS = 'tests.helpers.networks'
HAT = partial(dict, call='tests.helpers.dots.Hat')
TOKENS = partial(dict, call=f'{NETWORKS}.Tokens')
TWO = dict(call=f'{NETWORKS}.TwoLevels')
#: As ``timm.create_model('vit_small_patch14_reg4_dinov2', num_classes=0)``.
TIMM = dict(call=f'{NETWORKS}.create_model', model_name='vit', num_classes=0)
AT = dict(student='backbone.layer4', teacher='backbone')


@pytest.fixture
def teacher_cfg(tmp_path):
    """``teacher_cfg(model, ...)``: a teacher with a file of its weights."""

    def make(model=TIMM, **settings):
        path = str(tmp_path / 'encoder.pth')
        torch.save(Encoder(model).model.state_dict(), path)
        return dict(
            type='mmdistill_dense.EncoderTeacher',
            model=model,
            checkpoint=path,
            **settings,
        )

    return make


def vit_teacher(teacher_cfg, **settings):
    settings = dict(method='forward_features', multiple=14) | settings
    return teacher_cfg(TIMM, **settings)


@pytest.fixture
def distilled(teacher_cfg):
    model = distiller(pspnet(), vit_teacher(teacher_cfg), dict(kd=cwd(AT)))
    model.init_weights()
    return model


def test_tokens_of_a_network_like_timms_teach_a_segmentor(distilled):
    (spec,) = distilled.distill.terms['kd'].teacher_specs
    assert spec.shape == (1, 12, 5, 5)
    losses = step_losses(distilled, segmentation_batch())
    losses['loss_kd'].backward()
    assert next(distilled.backbone.parameters()).grad.abs().sum() > 0


def test_it_is_frozen_in_eval_and_in_no_checkpoint(distilled):
    teacher = distilled.distill.teachers['teacher']
    distilled.train()
    assert not any(m.training for m in teacher.model.modules())
    assert not list(teacher.model.parameters())
    assert not [k for k in distilled.state_dict() if 'teacher' in k]
    assert not [p for p in distilled.parameters() if p.shape[0] == 12 == 0]
    assert 'teacher' not in dict(distilled.named_modules())
    other = deepcopy(distilled).distill.teachers['teacher']
    first = dict(teacher.model.named_buffers())
    for name, buffer in other.model.named_buffers():
        assert buffer.data_ptr() == first[name].data_ptr()
    maps = teacher(torch.randn(1, 3, 64, 64), [sample()], ['kd'])['kd']
    assert not maps[0].requires_grad
    assert len(teacher.fingerprint) == 8


def sample(size=(64, 64)):
    (one,) = segmentation_batch(1, size)['data_samples']
    return one


def test_a_student_is_not_drawn_otherwise_beside_it(teacher_cfg):
    teacher = vit_teacher(teacher_cfg)
    torch.manual_seed(3)
    plain = distiller(pspnet())
    torch.manual_seed(3)
    beside = distiller(pspnet(), teacher, dict(kd=cwd(AT)))
    for key, value in plain.state_dict().items():
        assert torch.equal(value, beside.state_dict()[key])


def look(backbone, size):
    model = Stock(backbone)
    recorders = RecorderSet(model)
    recorders.add(model, 'key', 'backbone')
    return dry_run(model, recorders, ['key'], size).specs['key']


#: Encoders by patch, whole patches and scale; the last three are
#: convolutional, two of them on a larger image.
WAYS = {
    'patches of 14': (TOKENS(patch=14), dict(output='tokens', multiple=14)),
    'patches of 16': (TOKENS(patch=16), dict(output='tokens', multiple=16)),
    'on twice the size': (
        TOKENS(patch=14),
        dict(output='tokens', multiple=14, scale=2),
    ),
    'whole cells': (HAT(stride=16), dict(multiple=16)),
    'as it is': (HAT(stride=16), {}),
    'larger': (HAT(stride=16), dict(scale=2)),
    'half as large again': (HAT(stride=8), dict(scale=1.5)),
}


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('shape', SHAPES)
def test_a_dot_stays_at_its_pixels(way, shape):
    """The student has stride 8; both were built at another size."""
    model, settings = WAYS[way]
    backbones = Hat(8), Encoder(model, **settings)
    specs = [look(backbone, (128, 128)) for backbone in backbones]
    term = Term('kd', dict(type='mmdistill_dense.ChannelWiseLoss'), *specs)
    for centre in path_of_dot(shape):
        image = dot(shape, centre, radius=10)
        with torch.no_grad():
            maps = [list(backbone(image)) for backbone in backbones]
        aligned = term.align(0, *maps, shape)
        cell = specs[1][0].cell_size(maps[1][0].shape[-2:], shape)
        student, teacher = (centre_of_mass(x, cell) for x in aligned.values())
        assert (student - teacher).abs().max() < 0.5


def test_a_map_that_does_not_divide_whole_multiples_is_refused():
    with pytest.raises(
        ValueError,
        match=r'multiple=16 is no multiple of the stride 32 of a map with 1 '
        r'channels, .*Set multiple=32',
    ):
        look(Encoder(HAT(stride=32), multiple=16), (96, 128))


def test_the_last_tokens_are_the_grid():
    images = torch.rand(2, 3, 70, 98)
    for extra in (0, 1, 5):
        encoder = Encoder(TOKENS(extra=extra), output='tokens', multiple=14)
        (grid,) = encoder(images)
        assert torch.equal(grid, encoder.model.hat(images)[0])


@pytest.mark.parametrize(
    ('settings', 'scaled'),
    [
        (dict(arguments=dict(hidden=True), output='maps'), (1, 2)),
        (dict(arguments=dict(hidden=True), output=['maps', -1]), (2,)),
        (dict(nodes='hat'), (1,)),
    ],
)
def test_maps_are_chosen_by_name_index_or_module(settings, scaled):
    images = torch.rand(1, 3, 28, 42)
    encoder = Encoder(TOKENS(), **settings)
    (grid,) = encoder.model.hat(images)
    found = encoder(images)
    assert len(found) == len(scaled)
    for level, factor in zip(found, scaled, strict=True):
        assert torch.equal(level, factor * grid)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(), r'returned a SimpleNamespace, expected maps .*output='),
        (dict(output='tokens'), r'returned tokens, .*set multiple= to the'),
        (
            dict(output='tokens', multiple=28),
            r'11 tokens for a grid of 1x2 patches|returned \d+ tokens for a',
        ),
        (dict(output='token'), r"output='token': there is no 'token' in what"),
        (dict(output=['maps', 3]), r'there is no 3 in .* a NoneType'),
    ],
)
def test_what_is_no_map_is_refused(settings, message):
    encoder = Encoder(TOKENS(), **settings)
    with pytest.raises(ValueError, match=message):
        encoder(torch.rand(1, 3, 112, 140))


@pytest.mark.parametrize(
    ('model', 'error', 'message'),
    [
        (dict(call='gone.make'), ImportError, "needs 'gone', .*pip install"),
        (
            dict(call=f'{NETWORKS}.create'),
            ValueError,
            "there is no 'create' in tests.helpers.networks",
        ),
        (dict(call=f'{NETWORKS}.no_module'), ValueError, 'made a str, exp'),
        (dict(depth=50), ValueError, r"model must be dict\(type='mmdet"),
        ('timm', ValueError, r"anything that makes a torch module, got 'timm"),
    ],
)
def test_what_makes_no_network_is_refused(model, error, message):
    with pytest.raises(error, match=message):
        Encoder(model)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(multiple=0), 'multiple must be a whole number .* above 0'),
        (dict(multiple=14.0), 'multiple must be a whole number'),
        (dict(scale=0), 'scale must be a factor above 0'),
        (dict(method='look'), "method='look': TwoLevels has no such method"),
        (dict(drop='head'), "has no module 'head'. Those at the top are stem"),
        (dict(nodes='stages'), 'no module matches'),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Encoder(TWO, **settings)


def test_arguments_may_be_called_too():
    linear = dict(call='torch.nn.Linear', args=[4, 4])
    encoder = Encoder(dict(call='torch.nn.Sequential', args=[linear, linear]))
    assert len(encoder.model) == 2
    assert find('torch.nn.functional.relu') is torch.nn.functional.relu


def student_cfg(path, **settings):
    """PSPNet on two levels of a network of another package."""
    cfg = pspnet()
    cfg.backbone = dict(
        type='mmdistill_dense.Encoder',
        model=TWO,
        nodes='{stem,stage}',
        drop='fc',
        checkpoint=path,
        **settings,
    )
    cfg.decode_head.update(in_channels=8, in_index=1)
    cfg.auxiliary_head.update(in_channels=4, in_index=0)
    return cfg


def test_the_same_wrapper_is_the_backbone_of_a_student(tmp_path):
    path = str(tmp_path / 'two.pth')
    torch.manual_seed(5)
    weights = Encoder(TWO).model.state_dict()
    torch.save(weights, path)
    model = MODELS.build(student_cfg(path))
    model.init_weights()
    own = {k: v for k, v in model.state_dict().items() if 'backbone' in k}
    assert set(own) == {
        f'backbone.model.{part}.{name}'
        for part in ('stem', 'stage')
        for name in ('weight', 'bias')
    }
    for key, value in own.items():
        assert torch.equal(value, weights[key.removeprefix('backbone.model.')])
    step_losses(model, segmentation_batch())['decode.loss_ce'].backward()
    assert model.backbone.model.stem.weight.grad.abs().sum() > 0


def test_a_copy_records_its_own_modules(tmp_path):
    """As EMA makes one; the weights of both differ from then on."""
    encoder = Encoder(TWO, nodes='{stem,stage}', drop='fc')
    copy = deepcopy(encoder)
    with torch.no_grad():
        copy.model.stem.weight.zero_()
        copy.model.stem.bias.fill_(3)
    images = torch.rand(1, 3, 16, 16)
    assert copy(images)[0].eq(3).all()
    stem, stage = encoder(images)
    assert torch.equal(stem, encoder.model.stem(images))
    assert torch.equal(stage, encoder.model.stage(stem.relu()))


def test_a_student_refuses_a_file_of_another_network(tmp_path):
    path = str(tmp_path / 'two.pth')
    torch.save(Encoder(dict(TWO, width=6)).model.state_dict(), path)
    model = MODELS.build(student_cfg(path))
    with pytest.raises(
        ValueError,
        match=r'(?s)checkpoint of the backbone TwoLevels does not fit .*of '
        r'another shape: stem.weight \(6, 3, 3, 3\), expected \(4, 3, 3, 3\)',
    ):
        model.init_weights()


def test_a_backbone_of_a_host_keeps_its_own_init():
    resnet = dict(type='mmdet.ResNet', depth=18, base_channels=8)
    init_cfg = dict(type='Constant', val=2, layer='Conv2d')
    encoder = Encoder(dict(resnet, init_cfg=init_cfg))
    encoder.init_weights()
    assert encoder.model.conv1.weight.eq(2).all()
    assert len(encoder(torch.zeros(1, 3, 64, 64))) == 4


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        (
            dict(type='mmdet.ResNet'),
            r"type='mmdet.ResNet' is no registered FrozenTeacher. Of a stock "
            r'model write dict\(cfg=dict\(type=',
        ),
        (dict(type='Gone'), "type='Gone' is no registered FrozenTeacher"),
        (
            dict(type='mmdistill_dense.EncoderTeacher', cfg=1),
            r"expected dict\(model=\.\.\.\) with .*got the keys \['cfg'\]",
        ),
        (
            dict(
                type='mmdistill_dense.EncoderTeacher', model=TWO, mean=[1, 2]
            ),
            'mean must be one number, or one for each of 3 channels',
        ),
        (
            dict(type='mmdistill_dense.EncoderTeacher', model=TWO, std=0),
            'no deviation of 0',
        ),
    ],
)
def test_teachers_that_are_refused(cfg, message):
    with pytest.raises(ValueError, match=message):
        distiller(pspnet(), cfg, dict(kd=cwd(AT)))


def test_without_a_file_training_does_not_start(teacher_cfg):
    cfg = vit_teacher(teacher_cfg) | dict(checkpoint=None)
    model = distiller(pspnet(), cfg, dict(kd=cwd(AT)))
    with pytest.raises(ValueError, match='has no checkpoint, so it would'):
        model.init_weights()


IMAGENET = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def convert(raw, teacher, swapped=True):
    """A raw batch as a student normalises it, in the teacher's form."""
    student = InputForm(*IMAGENET, swapped, 0.0)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in IMAGENET)
    batch = ((raw.flip(1) if swapped else raw) - mean) / std
    adapter = InputAdapter(student, teacher, convert=True)
    return adapter(batch, [sample(raw.shape[-2:])] * len(raw))


@pytest.mark.parametrize('swapped', [True, False])
def test_a_teacher_of_one_channel_sees_the_luminance(swapped):
    raw = torch.randint(0, 256, (2, 3, 8, 12)).float()
    grey = convert(raw, InputForm((10.0,), (2.0,), False, 0.0), swapped)
    blue, green, red = raw.unbind(1)
    expected = (0.114 * blue + 0.587 * green + 0.299 * red - 10) / 2
    torch.testing.assert_close(grey[:, 0], expected)


def test_one_channel_is_given_three_times():
    form = InputForm((100.0,), (10.0,), False, 0.0)
    grey = torch.randn(1, 1, 8, 8)
    to = InputForm(*IMAGENET, True, 0.0)
    adapter = InputAdapter(form, to, convert=True)
    seen = adapter(grey, [sample((8, 8))])
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in IMAGENET)
    torch.testing.assert_close(seen, (grey * 10 + 100 - mean) / std)


def test_other_numbers_of_channels_are_refused():
    four = InputForm((0.0,) * 4, (1.0,) * 4, False, 0.0)
    with pytest.raises(
        ValueError,
        match=r'images have 4 channels, .* equally many, or 1 and 3',
    ):
        InputAdapter(InputForm(*IMAGENET, True, 0.0), four, convert=True)


def test_a_distilled_model_with_a_teacher_of_one_channel(teacher_cfg):
    cfg = teacher_cfg(
        dict(TWO, channels=1), output='maps', in_channels=1, mean=0, std=1
    )
    model = distiller(pspnet(), cfg, dict(kd=cwd(AT)))
    model.init_weights()
    assert step_losses(model, segmentation_batch())['loss_kd'].isfinite()


def test_its_form_and_its_size_are_logged(teacher_cfg, log_lines):
    cfg = vit_teacher(teacher_cfg, mean=127, std=128, scale=2)
    distiller(pspnet(), cfg, dict(kd=cwd(AT)))
    assert (
        'teacher sees images in its own form: mean [127.0, 127.0, 127.0], std '
        '[128.0, 128.0, 128.0], reversed channels, padding 0, resized by 2 '
        'and resized to multiples of 14 pixels'
    ) in '\n'.join(log_lines)


@pytest.mark.parametrize(
    'switch', [dict(precision='bf16'), dict(channels_last=True)]
)
def test_switches_for_speed_work_as_with_any_teacher(teacher_cfg, switch):
    cfg = vit_teacher(teacher_cfg, **switch)
    model = distiller(pspnet(), cfg, dict(kd=cwd(AT)))
    model.init_weights()
    assert step_losses(model, segmentation_batch())['loss_kd'].isfinite()


def test_a_module_inside_can_be_recorded(teacher_cfg):
    at = dict(AT, teacher='backbone.model.stage')
    cfg = teacher_cfg(TWO, output='maps', multiple=8)
    model = distiller(pspnet(), cfg, dict(kd=cwd(at)))
    (spec,) = model.distill.terms['kd'].teacher_specs
    assert (spec.stride, spec.coverage) == ((8, 8), 'whole')


def test_a_model_of_an_encoder_is_called_as_one_of_openmmlab():
    model = EncoderModel(
        dict(type='mmdistill_dense.Encoder', model=TWO, output='maps')
    )
    images = torch.rand(1, 3, 16, 16)
    assert torch.equal(model(images)[0], model.extract_feat(images)[0])
