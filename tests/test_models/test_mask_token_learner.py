"""Stage 1 of MasKD: what trains, by what, and what it leaves."""

import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import OptimWrapper

from mmdistill_dense.functional import mask_diversity
from mmdistill_dense.models.maskd.token_files import read_tokens
from mmdistill_dense.registry import MODELS

from ..helpers.batches import (
    detection_batch,
    segmentation_batch,
    step_losses,
    total,
)
from ..helpers.models import mask_rcnn
from ..helpers.tokens import save_tokens
from . import zoo

DET, SEG = detection_batch(1, (64, 64)), segmentation_batch()
FEATURES = dict(path='decode_head.conv_seg', take='input')


def learner(teacher, at='neck', **settings):
    settings = dict(num_tokens=3, input_size=(64, 64)) | settings
    cfg = dict(
        type='mmdistill_dense.MaskTokenLearner',
        teacher=teacher,
        at=at,
        **settings,
    )
    return MODELS.build(ConfigDict(copy.deepcopy(cfg)))


def segmentor(seg_teacher, at='logits', **settings):
    return learner(seg_teacher, at, weighting=False, **settings)


def test_only_tokens_and_their_nets_are_parameters(det_teacher):
    model = learner(det_teacher)
    model.init_weights()
    names = [name for name, _ in model.named_parameters()]
    assert len(names) == 5 * 5
    assert set(model.state_dict()) == set(names)
    assert all(name.startswith('mask_modules.') for name in names)
    assert {m.channels for m in model.mask_modules} == {48}
    assert not [k for k, _ in model.named_buffers() if 'backbone' in k]


def test_gradients_pass_the_teacher_heads_to_every_token(det_teacher):
    model = learner(det_teacher, diversity_weight=0)
    model.init_weights()
    losses = step_losses(model, DET)
    assert {'loss_rpn_cls', 'loss_cls', 'loss_mask'} <= losses.keys()
    assert losses['loss_diversity'].item() == 0
    total(model, losses).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
    # The coarsest levels are a cell or two, without a sampled anchor.
    reached = [m.mask_token.grad.abs().max() for m in model.mask_modules]
    assert all(value > 0 for value in reached[:3])


def test_the_start_of_a_detector(det_teacher):
    # Masks near 0.5: half the map goes on, and five levels of Dice near 1.
    model = learner(det_teacher, num_tokens=6)
    model.init_weights()
    losses = step_losses(model, DET)
    assert losses['loss_diversity'].item() == pytest.approx(5, abs=0.1)
    maps = {}
    neck = model.teacher.model.neck
    neck.register_forward_hook(lambda m, a, out: maps.update(masked=out))
    data = model.data_preprocessor(DET)
    model(**data, mode='tensor')
    with model.set_masking(False):
        masked = maps['masked']
        model(**data, mode='tensor')
    for half, plain in zip(masked, maps['masked'], strict=True):
        torch.testing.assert_close(half, 0.5 * plain, rtol=0.3, atol=1e-2)


def test_masks_of_a_segmentor_are_summed(seg_teacher):
    model = segmentor(seg_teacher, num_tokens=8)
    model.init_weights()
    seen = {}
    head = model.teacher.model.decode_head
    head.conv_seg.register_forward_hook(lambda m, a, y: seen.update(masked=y))
    data = model.data_preprocessor(SEG)
    losses = model(**data, mode='loss')
    masked = seen['masked']
    gate = sum(model.token_masks(**data)[0].unbind(1))[:, None]
    with model.set_masking(False):
        model(**data, mode='tensor')
    torch.testing.assert_close(masked, gate * seen['masked'])
    assert gate.mean().item() == pytest.approx(4, abs=0.1)
    assert losses['aux.loss_ce'].requires_grad is False
    assert losses['decode.loss_ce'].requires_grad


def test_tokens_part_while_they_are_trained(seg_teacher):
    model = segmentor(seg_teacher, FEATURES)
    model.init_weights()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    wrapper = OptimWrapper(optimizer)
    history = [model.train_step(SEG, wrapper) for _ in range(25)]
    first, last = history[0]['loss_diversity'], history[-1]['loss_diversity']
    assert last < 0.7 * first
    masks = model.token_masks(**model.data_preprocessor(SEG))[0]
    assert mask_diversity(masks) < 0.7 * first


def test_heads_build_what_their_loss_needs(det_teacher):
    # RepPoints and DETR-likes fail in eval mode, others are silently wrong.
    model = learner(det_teacher)
    model.init_weights()
    modes = {}
    teacher = model.teacher.model
    for name, module in teacher.named_modules():
        module.register_forward_hook(
            lambda m, a, y, name=name: modes.update({name: m.training})
        )
    step_losses(model, DET)
    parts = {'backbone', 'neck', 'rpn_head'}
    heads = {'roi_head.bbox_head', 'roi_head.mask_head'}
    training = {name for name, training_mode in modes.items() if training_mode}
    assert parts <= training <= parts | heads | {'data_preprocessor'}
    assert not any(m.training for m in teacher.modules())


def test_the_plain_teacher_is_the_stock_one(det_teacher):
    model = learner(det_teacher).eval()
    model.init_weights()
    stock_model = MODELS.build(ConfigDict(copy.deepcopy(det_teacher['cfg'])))
    weights = torch.load(det_teacher['checkpoint'], weights_only=True)
    stock_model.load_state_dict(weights['state_dict'])
    stock_model.eval()
    data = model.data_preprocessor(DET)
    with torch.no_grad():
        with model.set_masking(False):
            plain = model(**data, mode='tensor')
        masked = model(**data, mode='tensor')
        expected = stock_model(**data, mode='tensor')
    assert torch.equal(plain[0][0], expected[0][0])
    assert not torch.equal(masked[0][0], expected[0][0])


def test_levels_of_a_module_that_is_called_once_for_each(teacher_of):
    model = learner(teacher_of(zoo.retinanet), 'logits')
    model.init_weights()
    assert len(model.mask_modules) == 5
    total(model, step_losses(model, DET)).backward()
    for module in model.mask_modules:
        assert module.mask_token.grad.abs().max() > 0


def test_levels_of_several_modules(teacher_of):
    teacher = teacher_of(mask_rcnn)
    model = learner(teacher, 'backbone.layer{2,4}')
    model.init_weights()
    assert [m.channels for m in model.mask_modules] == [16, 64]
    masks = model.token_masks(**model.data_preprocessor(DET))
    assert [tuple(m.shape[1:]) for m in masks] == [(3, 8, 8), (3, 2, 2)]


def test_the_backbone_of_a_detr_like(teacher_of):
    # It has no pyramid; its head and decoder fail outside training mode.
    model = learner(teacher_of(zoo.deformable_detr), 'backbone')
    model.init_weights()
    widths = [spec.channels for spec in model.teacher.specs]
    assert [m.channels for m in model.mask_modules] == widths
    assert len(widths) == 3
    losses = step_losses(model, DET)
    assert {'loss_cls', 'd0.loss_cls', 'loss_diversity'} <= losses.keys()
    total(model, losses).backward()
    for module in model.mask_modules:
        assert module.mask_token.grad.abs().max() > 0
        assert module.prob[0].weight.grad.abs().max() > 0


def test_masks_come_in_the_order_of_levels_not_of_calls(teacher_of):
    model = learner(teacher_of(mask_rcnn), 'backbone.{layer4,layer2}')
    masks = model.token_masks(**model.data_preprocessor(DET))
    assert [tuple(m.shape[1:]) for m in masks] == [(3, 2, 2), (3, 8, 8)]


def test_sliding_windows_begin_at_the_first_level_again(seg_teacher):
    model = segmentor(seg_teacher).eval()
    model.init_weights()
    model.teacher.model.test_cfg = ConfigDict(
        mode='slide', crop_size=(32, 32), stride=(32, 32)
    )
    data = model.data_preprocessor(SEG)
    with torch.no_grad():
        samples = model(**data, mode='predict')
    assert samples[0].pred_sem_seg.data.shape == (1, 64, 64)


def test_the_token_file(det_teacher, tmp_path):
    model = learner(det_teacher)
    model.init_weights()
    path = str(tmp_path / 'tokens.pth')
    model.write_tokens(path)
    file = read_tokens(path)
    assert file.info == dict(
        at=dict(path='neck'), teacher=model.teacher.fingerprint
    )
    other = learner(det_teacher)
    other.load_tokens(path)
    for key, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[key], value)
    # The info of a loaded file is written again.
    other.load_teacher()
    other.write_tokens(path)
    assert read_tokens(path).info == file.info
    with pytest.raises(ValueError, match='holds tokens for 2 levels'):
        other.load_tokens(save_tokens(tmp_path / 'two.pth', 48, 48))
    six = save_tokens(tmp_path / 'six.pth', *[48] * 5, num_tokens=6)
    with pytest.raises(ValueError, match=r'3 tokens a level.*\(6, 48\), exp'):
        other.load_tokens(six)


def test_tokens_of_unknown_origin_stay_so(det_teacher, tmp_path):
    model = learner(det_teacher)
    model.load_tokens(save_tokens(tmp_path / 't.pth', *[48] * 5))
    model.load_teacher()
    assert model.info == {}
    assert 'teacher' not in learner(det_teacher).info


def test_a_fingerprint_tells_teachers_apart(det_teacher, teacher_of):
    model, twin = learner(det_teacher), learner(det_teacher)
    other = learner(teacher_of(mask_rcnn))
    for one in (model, twin, other):
        one.load_teacher()
    assert len(model.teacher.fingerprint) == 8
    assert twin.teacher.fingerprint == model.teacher.fingerprint
    assert other.teacher.fingerprint != model.teacher.fingerprint


def test_mixed_precision(seg_teacher):
    model = segmentor(seg_teacher, FEATURES)
    model.init_weights()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = step_losses(model, SEG)
    total(model, losses).backward()
    assert losses['loss_diversity'].dtype == torch.float32
    assert torch.isfinite(model.mask_modules[0].mask_token.grad).all()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(at='nick'), "no module matches 'nick'.*neck"),
        (dict(at=None), 'MaskTokenLearner: at must be a module path'),
        (dict(at='rpn_head.rpn_reg', num_tokens=1), 'integer >= 2, got 1'),
        (dict(at='roi_head.bbox_head.fc_cls'), r'expected maps of shape'),
        (
            dict(diversity_weight=-1),
            'MaskTokenLearner, diversity_weight: a weight must be a finite',
        ),
        (dict(teacher='r101.py'), r'expected dict\(cfg=...\) .*got str'),
        (dict(teacher=dict(config='r101.py')), 'got the keys .*config'),
        (
            dict(train_cfg=dict(a=1)),
            r'write it as model\.teacher\.cfg_options\.model\.train_cfg',
        ),
    ],
)
def test_settings_that_are_refused(det_teacher, settings, message):
    with pytest.raises((ValueError, RuntimeError), match=message):
        learner(**(dict(teacher=det_teacher) | settings))


def test_a_place_that_no_loss_depends_on_is_refused(seg_teacher):
    # The auxiliary head's own logits have a loss; what the class
    # probabilities of a detached module give has none.
    model = segmentor(seg_teacher)
    model.init_weights()
    decode = model.teacher.model.decode_head.conv_seg
    decode.register_forward_hook(lambda m, a, y: y.detach())
    with pytest.raises(RuntimeError, match='no loss of the teacher depends'):
        step_losses(model, SEG)
