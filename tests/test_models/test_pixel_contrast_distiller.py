"""PixelContrastDistiller: what it computes, trains, holds and refuses."""

import copy
import math

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper
from torch.nn.functional import adaptive_avg_pool2d, normalize

from mmdistill_dense.models.pcd.pairing import PAIRINGS
from mmdistill_dense.registry import MODELS

from ..helpers.batches import step_losses, total
from ..helpers.contrast import (
    STUDENT,
    TEACHER,
    build,
    contrast,
    encoder_file,
    pcd,
)
from ..helpers.pretraining import views_batch
from ..helpers.runs import differing, snapshot

BATCH = views_batch()
SWIN = dict(
    type='mmdet.SwinTransformer',
    embed_dims=8,
    depths=(1, 1, 1, 1),
    num_heads=(1, 1, 1, 1),
    window_size=2,
)


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    return encoder_file(tmp_path_factory.mktemp('teacher') / 'encoder.pth')


@pytest.fixture
def model(teacher):
    return build(pcd(teacher))


def shifted():
    """Views of 4x4 cells of which the second lies one cell further down."""
    batch = views_batch()
    geometry = [
        dict(box=(0.0, 0.0, 64.0, 64.0), flip=False),
        dict(box=(0.0, 16.0, 64.0, 80.0), flip=False),
    ]
    for sample in batch['data_samples']:
        sample.set_metainfo(dict(views=geometry))
    return batch


def maps(model, batch):
    """The student's and the teacher's maps of both views."""
    views = model.data_preprocessor(batch, True)['inputs']
    return [model.embed(v) for v in views], [
        model.teacher.maps(v) for v in views
    ]


@pytest.mark.parametrize('pairing', PAIRINGS)
def test_the_loss_is_the_mean_of_two_cross_entropies(teacher, pairing):
    model = build(pcd(teacher, pairing=pairing))
    batch, queue = shifted(), model.queue.vectors.clone()
    (s1, s2), (t1, t2) = maps(model, batch)
    assert s1.shape == t1.shape == (2, 16, 4, 4)
    pairs = dict(
        cross=[(s1, t2), (s2, t1)],
        same=[(s1, t1), (s2, t2)],
        aligned=[
            (s1[:, :, 1:], t2[:, :, :-1]),
            (s2[:, :, :-1], t1[:, :, 1:]),
        ],
    )
    values = [contrast(s, t, queue) for s, t in pairs[pairing]]
    losses = step_losses(model, batch)
    torch.testing.assert_close(losses['loss_contrast'], sum(values) / 2)


def test_equal_views_make_same_and_cross_equal(teacher):
    batch, found = views_batch(), {}
    batch['inputs'][1] = batch['inputs'][0]
    for pairing in PAIRINGS[:2]:
        torch.manual_seed(0)
        model = build(pcd(teacher, pairing=pairing))
        found[pairing] = step_losses(model, batch)['loss_contrast']
        apart = step_losses(model, BATCH)['loss_contrast']
        found[f'{pairing} apart'] = apart
    assert found['same'] == found['cross']
    assert found['same apart'] != found['cross apart']


def test_attention_is_a_plug(teacher):
    plain = build(pcd(teacher, attention=None))
    images = torch.randn(2, 3, 64, 64)
    expected = plain.head(plain.backbone(images)[-1])
    torch.testing.assert_close(plain.embed(images), expected)
    assert not [k for k in plain.state_dict() if k.startswith('attention')]
    full = build(pcd(teacher))
    feature = full.backbone(images)[-1]
    expected = full.head(full.attention(feature))
    torch.testing.assert_close(full.embed(images), expected)
    assert not torch.allclose(full.head(feature), expected)


def test_the_log_has_one_loss_and_what_is_watched(model):
    step_losses(model, BATCH)
    losses = step_losses(model, BATCH)
    assert [key for key in losses if 'loss' in key] == ['loss_contrast']
    loss, logged = model.parse_losses(losses)
    assert loss == logged['loss'] == losses['loss_contrast']
    watched = {'positive', 'hardest', 'top1', 'queue_age', 'queue_filled'}
    assert set(logged) == {'loss', 'loss_contrast'} | watched
    assert not any(logged[key].requires_grad for key in watched)
    assert -1 <= logged['positive'] <= 1
    assert (logged['queue_age'], logged['queue_filled']) == (1, 2 / 32)


def test_what_is_watched_is_the_mean_over_the_views(model):
    queue = model.queue.vectors.clone()
    students, teachers = maps(model, BATCH)
    s1, s2 = (normalize(m, dim=1) for m in students)
    t1, t2 = (normalize(m, dim=1) for m in teachers)
    positive = [(s * t).sum(1) for s, t in ((s1, t2), (s2, t1))]
    hardest = [
        torch.einsum('nchw,ck->nkhw', s, queue).amax(1) for s in (s1, s2)
    ]
    losses = step_losses(model, BATCH)
    positive, hardest = torch.stack(positive), torch.stack(hardest)
    torch.testing.assert_close(losses['positive'], positive.mean())
    torch.testing.assert_close(losses['hardest'], hardest.mean())
    top1 = (positive > hardest).float().mean()
    torch.testing.assert_close(losses['top1'], top1)


def test_the_queue_gets_one_vector_an_image_of_the_first_view(model):
    before = model.queue.vectors.clone()
    _, (_, second) = maps(model, BATCH)
    step_losses(model, BATCH)
    # The head on the pooled features: a vector's own way.
    held = model.teacher.model
    images = model.data_preprocessor(BATCH, True)['inputs'][0]
    pooled = adaptive_avg_pool2d(held.backbone(images)[-1], 1)
    expected = normalize(held.head(pooled).flatten(1), dim=1).T
    torch.testing.assert_close(model.queue.vectors[:, :2], expected)
    assert torch.equal(model.queue.vectors[:, 2:], before[:, 2:])
    other = normalize(second.mean((2, 3)), dim=1).T
    assert not torch.allclose(expected, other)


def test_without_training_the_queue_stays(model):
    model.eval()
    before = snapshot(model)
    step_losses(model, BATCH)
    with torch.no_grad():
        step_losses(model, BATCH)
    assert differing(before, snapshot(model)) == []


@pytest.mark.parametrize('pairing', PAIRINGS)
def test_every_parameter_learns(teacher, pairing):
    model = build(pcd(teacher, pairing=pairing))
    total(model, step_losses(model, BATCH)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_views_that_do_not_meet_leave_gradients_of_zero(teacher):
    # Data parallel training needs them to be there.
    model = build(pcd(teacher, pairing='aligned'))
    batch = views_batch()
    far = [
        dict(box=(start, 0.0, start + 9, 9.0), flip=False)
        for start in (0.0, 50.0)
    ]
    for sample in batch['data_samples']:
        sample.set_metainfo(dict(views=far))
    loss = total(model, step_losses(model, batch))
    loss.backward()
    assert loss == 0
    for parameter in model.parameters():
        assert not parameter.grad.any()


def test_in_float64(model):
    model.double()
    views = [torch.randn(2, 3, 64, 64).double() for _ in range(2)]
    losses = model(views, BATCH['data_samples'], mode='loss')
    assert losses['loss_contrast'].dtype == torch.float64
    losses['loss_contrast'].backward()
    assert model.queue.pointer == 2


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('pairing', PAIRINGS)
def test_under_autocast(teacher, dtype, pairing):
    model = build(pcd(teacher, pairing=pairing))
    twin = copy.deepcopy(model)
    expected = step_losses(twin, BATCH)
    with torch.autocast('cpu', dtype=dtype):
        losses = step_losses(model, BATCH)
    value = losses['loss_contrast']
    assert value.dtype == torch.float32
    torch.testing.assert_close(
        value, expected['loss_contrast'], rtol=0.05, atol=0
    )
    value.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.isfinite().all(), name
    torch.testing.assert_close(
        model.queue.vectors, twin.queue.vectors, rtol=0, atol=0.05
    )
    lengths = model.queue.vectors.norm(dim=0)
    torch.testing.assert_close(lengths, torch.ones(32))


def test_one_seed_is_one_student(teacher, tmp_path):
    wide = encoder_file(tmp_path / 'wide.pth', widths=(40, 24), seed=2)
    others = [
        pcd(wide),
        pcd(teacher, attention=None),
        pcd(teacher, queue_size=64, pairing='aligned'),
    ]
    states = []
    for cfg in (pcd(teacher), *others):
        torch.manual_seed(3)
        states.append(snapshot(build(cfg).backbone))
    for state in states[1:]:
        assert differing(states[0], state) == []
    torch.manual_seed(4)
    assert differing(states[0], snapshot(build(pcd(teacher)).backbone))


@pytest.mark.parametrize('pairing', ['cross', 'same'])
def test_tokens_of_a_transformer_are_pooled_after_the_head(tmp_path, pairing):
    # Twice the student's grid. An ordinary ReLU tells before from after.
    vit = dict(
        type='mmseg.VisionTransformer',
        embed_dims=24,
        num_layers=1,
        num_heads=2,
        patch_size=8,
        img_size=(64, 64),
    )
    teacher = encoder_file(tmp_path / 'vit.pth', vit)
    teacher['relu'] = 'plain'
    model = build(pcd(teacher, pairing=pairing))
    queue = model.queue.vectors.clone()
    (s1, s2), tokens = maps(model, BATCH)
    assert tokens[0].shape[2:] == (8, 8)
    t1, t2 = (adaptive_avg_pool2d(t, 4) for t in tokens)
    pairs = dict(same=[(s1, t1), (s2, t2)], cross=[(s1, t2), (s2, t1)])
    value = sum(contrast(s, t, queue) for s, t in pairs[pairing]) / 2
    losses = step_losses(model, BATCH)
    torch.testing.assert_close(losses['loss_contrast'], value)
    keys = normalize(tokens[0].mean((2, 3)), dim=1).T
    torch.testing.assert_close(model.queue.vectors[:, :2], keys)


def test_the_backbone_is_a_stock_one(model):
    stock = MODELS.build(ConfigDict(STUDENT))
    state = {
        key.removeprefix('backbone.'): value
        for key, value in model.state_dict().items()
        if key.startswith('backbone.')
    }
    stock.load_state_dict(state)
    images = torch.randn(1, 3, 64, 64)
    model.eval(), stock.eval()
    expected = stock(images)[-1]
    assert torch.equal(model(images, mode='tensor')[-1], expected)


def test_the_description_names_parts_and_costs(teacher, log_lines):
    MODELS.build(ConfigDict(pcd(teacher)))
    text = '\n'.join(log_lines)
    for message in (
        'student ResNet, 0.04 M parameters: 32 channels at stride 16, 4x4',
        # 4 x 32 x 32 weights at 16 cells, and 2 x 16 x 16 x 32.
        'PixelAttention on it, 0.00 M parameters, 0.1 M multiply-adds',
        'Teacher: mmdet.ResNet, 0.2 M parameters',
        "pairing 'cross', a queue of 32 vectors of dimension 16",
    ):
        assert message in text


def patches(seed):
    """Pictures of 16 colours each, twice."""
    batch = views_batch(4)
    rng = torch.Generator().manual_seed(seed)
    colours = torch.randint(0, 256, (4, 3, 4, 4), generator=rng)
    images = colours.repeat_interleave(16, 2).repeat_interleave(16, 3)
    return dict(batch, inputs=[images.byte()] * 2)


def test_it_learns(teacher):
    model = build(pcd(teacher))
    wrapper = OptimWrapper(torch.optim.Adam(model.parameters(), lr=0.01))
    # More images than the queue holds: no cell meets its own image there.
    batches = [patches(seed) for seed in range(10)]
    history = [
        model.train_step(batches[step % 10], wrapper) for step in range(30)
    ]
    # Who has no clue has log(1 + 32).
    first, last = history[0], history[-1]
    assert first['loss_contrast'] > math.log(33)
    assert last['loss_contrast'] < math.log(33) - 1
    assert last['top1'] > 0.6
    assert last['queue_filled'] == 1


@pytest.mark.parametrize('mode', ['predict', 'none'])
def test_it_predicts_nothing(model, mode):
    with pytest.raises(ValueError, match=r'predicts nothing.*export_student'):
        model(torch.zeros(1, 3, 64, 64), mode=mode)


def test_a_batch_without_two_views_is_refused(model):
    image = torch.zeros(2, 3, 64, 64)
    for inputs in (image, [image], [image, image[:1]], [image] * 3, [1, 2]):
        with pytest.raises(
            TypeError, match=r'two views of one shape .*MultiV'
        ):
            model(inputs, mode='loss')
    bytes_ = [image.byte()] * 2
    with pytest.raises(TypeError, match=r'uint8.*MultiViewPreprocessor'):
        model(bytes_, mode='loss')


ATTENTION = dict(type='mmdistill_dense.PixelAttention')
HEAD = dict(type='mmdistill_dense.PixelHead', projector=(8, 16))


@pytest.mark.parametrize(
    ('settings', 'match'),
    [
        (
            dict(pairing='crossed'),
            "pairing must be one of cross, same, aligned, got 'crossed'",
        ),
        (
            dict(head=dict(HEAD, predictor=(8, 12))),
            "last layer has 12 channels, the teacher's 16. Give the last",
        ),
        (dict(queue_size=0), 'queue_size must be an integer >= 1'),
        (
            dict(attention=dict(ATTENTION, num_heads=5)),
            'num_heads must divide the channels',
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(teacher, settings, match):
    with pytest.raises(ValueError, match=match):
        MODELS.build(ConfigDict(pcd(teacher, **settings)))


def test_a_head_of_the_users(teacher):
    head = dict(HEAD, predictor=(8, 16), bias=True)
    model = build(pcd(teacher, head=head))
    total(model, step_losses(model, BATCH)).backward()
    assert model.head.projector[0].out_channels == 8
    assert model.head.projector[0].bias.grad is not None


def test_views_of_a_size_that_the_student_refuses(teacher):
    vit = dict(type='mmdet.PyramidVisionTransformerV2', embed_dims=8)
    cfg = pcd(teacher, backbone=vit, input_size=(2, 2))
    with pytest.raises(
        RuntimeError, match=r'dry run of Pyram.* of 2x2 pixels failed: .*inpu'
    ):
        MODELS.build(ConfigDict(cfg))


def test_a_backbone_without_maps_is_refused(teacher):
    kind = dict(type='mmdistill_dense.BackboneClassifier', num_classes=2)
    cfg = pcd(teacher, backbone=dict(kind, backbone=STUDENT))
    with pytest.raises(
        ValueError, match=r'must return maps .* its last output is \(1, 2\)'
    ):
        MODELS.build(ConfigDict(cfg))


def test_parameters_without_gradients_are_named(teacher):
    model = build(pcd(teacher, backbone=SWIN))
    with pytest.raises(
        RuntimeError,
        match=r'6 parameters get no gradient: backbone\.norm0\.weight, .*'
        r'\.\.\.\. Usual cause: .*out_indices',
    ):
        step_losses(model, BATCH)
    model = build(pcd(teacher, backbone=dict(SWIN, out_indices=(3,))))
    total(model, step_losses(model, BATCH)).backward()
    assert all(p.grad is not None for p in model.parameters())


@pytest.mark.filterwarnings('ignore:.*use_reentrant')
def test_activation_checkpoints_hide_no_gradient(teacher):
    torch.manual_seed(0)
    plain = build(pcd(teacher))
    torch.manual_seed(0)
    model = build(pcd(teacher, backbone=dict(STUDENT, with_cp=True)))
    for m in (plain, model):
        total(m, step_losses(m, BATCH)).backward()
    for one, two in zip(plain.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(one.grad, two.grad)


def test_a_frozen_stage_is_trained_around_with_a_warning(teacher, log_lines):
    frozen = dict(STUDENT, frozen_stages=1)
    model = build(pcd(teacher, backbone=frozen))
    total(model, step_losses(model, BATCH)).backward()
    assert model.backbone.layer4[0].conv1.weight.grad.abs().max() > 0
    message = '\n'.join(log_lines)
    assert (
        'parameters are frozen in the student that is pre-trained' in message
    )
    assert 'backbone.frozen_stages=-1' in message
    assert 'batch norms are in eval mode' in message  # those of that stage


def test_statistics_that_stay_as_drawn_get_a_warning(teacher, log_lines):
    model = build(pcd(teacher, backbone=dict(STUDENT, norm_eval=True)))
    step_losses(model.train(), BATCH)
    assert 'backbone.norm_eval=False' in '\n'.join(log_lines)


def test_a_student_that_learns_as_a_whole_gets_none(model, log_lines):
    model._started = False
    step_losses(model, BATCH)
    assert 'in the student that is pre-trained' not in '\n'.join(log_lines)


def test_a_checkpoint_of_something_else_is_refused(model, teacher, tmp_path):
    with pytest.raises(ValueError, match=r'"backbone\.", so .*\[.layer1.x'):
        model.load_state_dict({'layer1.x': torch.zeros(1)}, strict=False)
    # A detector's has a backbone; one of our own has everything.
    part = {k: v for k, v in snapshot(model).items() if 'backbone' in k}
    model.load_state_dict(part, strict=False)
    model.load_state_dict(model.state_dict())
    other = encoder_file(tmp_path / 'other.pth', TEACHER, seed=7)
    with pytest.raises(ValueError, match='filled by a teacher with other wei'):
        build(pcd(other)).load_state_dict(model.state_dict())
    # The same weights, but other vectors come of them.
    plain = build(pcd(dict(teacher, relu='plain')))
    with pytest.raises(ValueError, match='filled by a teacher with other'):
        plain.load_state_dict(model.state_dict())
    larger = build(pcd(teacher, queue_size=64))
    with pytest.raises(ValueError, match=r'\(16, 32\), expected \(16, 64\)'):
        larger.load_state_dict(model.state_dict())


def test_a_hole_in_the_students_file_is_refused(model, teacher, tmp_path):
    path = str(tmp_path / 'student.pth')
    state = model.state_dict()
    del state['backbone.layer2.0.conv1.weight']
    torch.save(state, path)
    init_cfg = dict(type='Pretrained', checkpoint=path, prefix='backbone.')
    student = dict(STUDENT, init_cfg=init_cfg)
    with pytest.raises(ValueError, match=r'1 missing: layer2\.0\.conv1\.wei'):
        build(pcd(teacher, backbone=student))
