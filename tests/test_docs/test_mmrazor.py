"""The two configs that stand side by side for users of mmrazor."""

import pytest
from mmengine.config import Config

from .blocks import blocks_of


@pytest.fixture
def models():
    """``model`` of mmrazor's config and of this package's."""
    configs = [
        Config.fromstring(block.text, '.py')
        for block in blocks_of('docs/from_mmrazor.md')
        if '_base_' in block.text
    ]
    assert [cfg.default_scope for cfg in configs] == ['mmseg', 'mmseg']
    return [cfg.model for cfg in configs]


def test_both_name_the_same_models(models):
    mmrazor, distilled = models
    student = Config._get_cfg_path(mmrazor.architecture.cfg_path, '')[0]
    stock = Config.fromfile(student).model
    assert {**distilled.student, '_scope_': 0} == {**stock, '_scope_': 0}
    assert distilled.teacher.cfg == mmrazor.teacher.cfg_path
    assert distilled.teacher.checkpoint == mmrazor.teacher_ckpt


def test_both_say_the_same_loss_at_the_same_place(models):
    mmrazor, distilled = models
    ((name, loss),) = mmrazor.distiller.distill_losses.items()
    ((term, settings),) = distilled.terms.items()
    assert name == f'loss_{term}'
    assert (settings.loss.tau, settings.loss.loss_weight) == (
        loss.tau,
        loss.loss_weight,
    )
    # What 'logits' stands for in a segmentor.
    assert settings['at'] == 'logits'
    for side in ('student', 'teacher'):
        recorder = mmrazor.distiller[f'{side}_recorders'].logits
        assert recorder.source == 'decode_head.conv_seg'
