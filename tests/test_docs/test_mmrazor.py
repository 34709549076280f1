"""The two configs that stand side by side for users of mmrazor."""

import pytest
from mmengine.config import Config

from .blocks import blocks_of


@pytest.fixture
def models():
    """``model`` of mmrazor's config and of ours."""
    configs = [
        Config.fromstring(block.text, '.py')
        for block in blocks_of('docs/from_mmrazor.md')
        if '_base_' in block.text
    ]
    assert [cfg.default_scope for cfg in configs] == ['mmseg', 'mmseg']
    return [cfg.model for cfg in configs]


def test_both_name_the_same_models(models):
    theirs, ours = models
    student = Config._get_cfg_path(theirs.architecture.cfg_path, '')[0]
    stock = Config.fromfile(student).model
    assert {**ours.student, '_scope_': 0} == {**stock, '_scope_': 0}
    assert ours.teacher.cfg == theirs.teacher.cfg_path
    assert ours.teacher.checkpoint == theirs.teacher_ckpt


def test_both_say_the_same_loss_at_the_same_place(models):
    theirs, ours = models
    ((name, loss),) = theirs.distiller.distill_losses.items()
    ((term, settings),) = ours.terms.items()
    assert name == f'loss_{term}'
    assert (settings.loss.tau, settings.loss.loss_weight) == (
        loss.tau,
        loss.loss_weight,
    )
    # What 'logits' stands for in a segmentor.
    assert settings['at'] == 'logits'
    for side in ('student', 'teacher'):
        recorder = theirs.distiller[f'{side}_recorders'].logits
        assert recorder.source == 'decode_head.conv_seg'
