"""Masked distillation as a loss and as a term of a distilled model."""

import logging

import pytest
import torch
from mmengine.logging import MMLogger

from mmdistill_dense.models.maskd import (
    MaskedDetectionLoss,
    MaskedSegmentationLoss,
)
from mmdistill_dense.registry import MODELS

from ..helpers.batches import detection_batch, segmentation_batch, step_losses
from ..helpers.models import cwd, distiller, mask_rcnn, pspnet
from ..helpers.tokens import official as official_draw
from ..helpers.tokens import save_tokens

DET, SEG = detection_batch(1, (64, 64)), segmentation_batch()


@pytest.fixture
def official(tmp_path):
    """Maps of the fixture, and its tokens in a file."""
    drawn = official_draw()
    path = str(tmp_path / 'tokens.pth')
    torch.save(
        {f'mask_modules.0.{k}': v for k, v in drawn.level.items()}, path
    )
    return drawn.student.requires_grad_(), drawn.teacher, path


def loaded(loss, teacher):
    """A loss with the tokens of its file, in the precision of a map."""
    loss.load([teacher.shape[1]], teacher)
    return loss


@pytest.mark.parametrize(
    ('weighting', 'iteration', 'value', 'norm'),
    [
        (False, 99, 1.417921333502333, None),
        (True, 99, 1.426708729485059, 0.239472986624802),
        (False, 100, 0.766960687144686, None),
        (True, 100, 0.790613474078819, 0.193096023483737),
    ],
)
def test_the_official_values_of_detection(
    official, weighting, iteration, value, norm
):
    student, teacher, path = official
    loss = MaskedDetectionLoss(path, weighting, custom_mask_warmup=100)
    found = loaded(loss, teacher)(
        student=student, teacher=teacher, level=0, iteration=lambda: iteration
    )
    found.backward()
    assert found.item() == pytest.approx(value, abs=1e-12)
    if norm is not None:
        assert student.grad.norm().item() == pytest.approx(norm, abs=1e-12)


def test_the_official_value_of_segmentation(official):
    student, teacher, path = official
    loss = loaded(MaskedSegmentationLoss(path, loss_weight=2.0), teacher)
    value = loss(student=student, teacher=teacher, level=0)
    assert value.item() == pytest.approx(2 * 0.708959689065758, abs=1e-12)


def term(path, at='neck', kind='Detection', weight=1.0, **loss):
    kind = f'mmdistill_dense.Masked{kind}Loss'
    loss = dict(type=kind, tokens=path, loss_weight=weight, **loss)
    return dict(at=at, loss=loss)


@pytest.fixture
def tokens(tmp_path):
    return save_tokens(tmp_path / 'neck.pth', *[48] * 5)


def detector(det_teacher, path, **settings):
    terms = dict(maskd=term(path, **settings))
    return distiller(mask_rcnn(), det_teacher, terms)


def test_a_detector_learns_through_the_masks_of_every_level(
    det_teacher, tokens
):
    model = detector(det_teacher, tokens)
    model.init_weights()
    losses = step_losses(model, DET)
    assert losses['loss_maskd'] > 0
    losses['loss_maskd'].backward()
    for connector in model.distill.terms['maskd'].connectors:
        for parameter in connector.parameters():
            assert parameter.grad.abs().max() > 0
    assert model.neck.fpn_convs[0].conv.weight.grad.abs().max() > 0
    assert model.rpn_head.rpn_cls.weight.grad is None


def test_each_level_has_its_own_tokens(det_teacher, tmp_path):
    path = save_tokens(tmp_path / 'neck.pth', *[48] * 5)
    values = {}
    for changed in (None, 0, 4):
        state = torch.load(path)
        if changed is not None:
            key = f'mask_modules.{changed}.mask_token'
            state['state_dict'][key] *= -1
        other = str(tmp_path / f'{changed}.pth')
        torch.save(state, other)
        model = detector(det_teacher, other)
        model.init_weights()
        values[changed] = step_losses(model, DET)['loss_maskd'].item()
    assert len(set(values.values())) == 3


def test_testing_needs_no_token_file(det_teacher):
    model = detector(det_teacher, 'nowhere.pth').eval()
    data = model.data_preprocessor(DET)
    with torch.no_grad():
        assert len(model(**data, mode='predict')) == 1


def test_a_disabled_term_needs_none_either(det_teacher):
    model = detector(det_teacher, 'nowhere.pth', weight=0)
    model.init_weights()
    assert step_losses(model, DET)['loss_maskd'].item() == 0


def test_customised_masks_begin_at_their_iteration(det_teacher, tokens):
    model = detector(det_teacher, tokens, custom_mask_warmup=7)
    model.init_weights()
    values = []
    for iteration in (0, 6, 7):
        model.distill.clock.set(iteration)
        torch.manual_seed(0)
        values.append(step_losses(model, DET)['loss_maskd'].item())
    assert values[0] == values[1]
    assert values[2] < 0.9 * values[1]


def test_customised_masks_need_somebody_who_tells_the_time(
    det_teacher, tokens
):
    model = detector(det_teacher, tokens, custom_mask_warmup=7)
    model.init_weights()
    with pytest.raises(RuntimeError, match='the iter is not known'):
        step_losses(model, DET)


def test_logits_of_both_heads_and_cwd(seg_teacher, tmp_path):
    path = save_tokens(tmp_path / 'logits.pth', 4, weighting=False)
    terms = dict(
        maskd=term(path, 'logits', 'Segmentation'),
        maskd_aux=term(
            path, 'auxiliary_head.conv_seg', 'Segmentation', weight=0.4
        ),
        cwd=cwd('logits'),
    )
    model = distiller(pspnet(), seg_teacher, terms)
    model.init_weights()
    losses = step_losses(model, SEG)
    for name in terms:
        assert losses[f'loss_{name}'] > 0
    sum(losses[f'loss_{name}'] for name in terms).backward()
    for head in (model.decode_head, model.auxiliary_head):
        assert head.conv_seg.weight.grad.abs().max() > 0
    assert not list(model.distill.parameters())


def test_tokens_of_other_levels_or_channels_are_refused(det_teacher, tmp_path):
    for name, channels in (('four', [48] * 4), ('narrow', [32] * 5)):
        path = save_tokens(tmp_path / f'{name}.pth', *channels)
        model = detector(det_teacher, path)
        with pytest.raises(
            ValueError, match=rf"term 'maskd': .*{name}\.pth holds tokens for"
        ):
            model.init_weights()


def test_a_file_without_the_net_is_refused_where_it_is_wanted(
    det_teacher, tmp_path
):
    path = save_tokens(tmp_path / 't.pth', *[48] * 5, weighting=False)
    with pytest.raises(ValueError, match=r"term 'maskd'.*no weighting net"):
        detector(det_teacher, path).init_weights()
    model = detector(det_teacher, path, weighting=False)
    model.init_weights()
    assert step_losses(model, DET)['loss_maskd'] > 0


def test_tokens_of_another_teacher_are_warned_of(
    det_teacher, tokens, log_lines
):
    MMLogger.get_current_instance().setLevel(logging.WARNING)
    model = detector(det_teacher, tokens)
    model.init_weights()
    own = model.distill.teachers['teacher'].fingerprint
    seen = {}
    for info in ({}, dict(teacher=own), dict(teacher='deadbeef')):
        torch.save(torch.load(tokens) | dict(info=info), tokens)
        detector(det_teacher, tokens).init_weights()
        seen[info.get('teacher')] = len(log_lines)
    assert seen == {None: 0, own: 0, 'deadbeef': 1}
    assert 'learned on other weights (deadbeef)' in log_lines[0]


def test_a_loss_without_tokens_says_so(tokens):
    loss = MODELS.build(term(tokens)['loss'])
    maps = dict(student=torch.ones(1, 4, 2, 2), teacher=torch.ones(1, 4, 2, 2))
    with pytest.raises(RuntimeError, match=r'no tokens yet: call load\(\)'):
        loss(**maps, level=0, iteration=int)


@pytest.mark.parametrize('warmup', [-1, 2.5, '7'])
def test_a_warmup_that_is_no_iteration_is_refused(warmup):
    with pytest.raises(ValueError, match='custom_mask_warmup must be an int'):
        MaskedDetectionLoss('t.pth', custom_mask_warmup=warmup)
