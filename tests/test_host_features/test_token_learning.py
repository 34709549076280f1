"""Stage 1 of MasKD in real runs: scores, files, and going on."""

from pathlib import Path

import pytest
import torch

from mmdistill_dense.models.maskd.token_files import read_tokens

from ..helpers.models import pspnet, save_weights
from ..helpers.runs import AtStart, differing, runner, snapshot, validation

FILE = dict(type='mmdistill_dense.TokenFileHook')


def learner(teacher, scope='mmseg', **settings):
    return dict(
        type='mmdistill_dense.MaskTokenLearner',
        teacher=teacher,
        at='neck' if scope == 'mmdet' else 'logits',
        num_tokens=2,
        weighting=scope == 'mmdet',
        _scope_=scope,
        **settings,
    )


def looped(scope, data, *names):
    """Data and both loops, with those that score twice."""
    settings = {}
    for name in names:
        settings |= validation(scope, data, name)
        kind = f'mmdistill_dense.MaskedTeacher{name.capitalize()}Loop'
        settings[f'{name}_cfg'] = dict(type=kind)
    return settings


@pytest.fixture
def teachers(det_teacher, seg_teacher):
    return dict(mmdet=det_teacher, mmseg=seg_teacher)


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
def test_both_teachers_are_scored_under_their_names(
    teachers, data, tmp_path, scope
):
    key = dict(mmdet='coco/bbox_mAP', mmseg='mIoU')[scope]
    made = runner(
        learner(teachers[scope], scope),
        data,
        tmp_path,
        iters=1,
        custom_hooks=[FILE],
        **looped(scope, data, 'val', 'test'),
    )
    passes = []
    val_step = made.model.val_step
    made.model.val_step = lambda b: (
        passes.append(made.model._masking_enabled) or (val_step(b))
    )
    made.train()
    metrics = made.val()
    assert {f'masked/{key}', f'plain/{key}'} <= metrics.keys()
    # The plain teacher never changes, so it is run once.
    images = len(made.val_dataloader.dataset)
    assert passes.count(False) == images
    assert passes.count(True) == 2 * images
    assert made.test().keys() == metrics.keys()


def test_the_plain_score_is_the_stock_model_s(seg_teacher, data, tmp_path):
    stock = runner(
        seg_teacher['cfg'],
        data,
        tmp_path / 'stock',
        iters=1,
        load_from=seg_teacher['checkpoint'],
        **validation('mmseg', data, 'test'),
    )
    expected = stock.test()
    made = runner(
        learner(seg_teacher),
        data,
        tmp_path / 'tokens',
        iters=1,
        **looped('mmseg', data, 'test'),
    )
    scores = made.test()
    for key, value in expected.items():
        assert scores[f'plain/{key}'] == value


def test_a_loop_for_another_model_says_so(seg_teacher, data, tmp_path):
    made = runner(
        seg_teacher['cfg'],
        data,
        tmp_path,
        iters=1,
        **looped('mmseg', data, 'test'),
    )
    with pytest.raises(TypeError, match=r"model is EncoderDecoder.*'TestLoop"):
        made.test()
    made = runner(
        seg_teacher['cfg'], data, tmp_path, iters=1, custom_hooks=[FILE]
    )
    with pytest.raises(TypeError, match='TokenFileHook belongs to'):
        made.train()


def test_a_run_leaves_tokens_and_goes_on(seg_teacher, data, tmp_path):
    model = learner(seg_teacher)
    settings = dict(save=1, custom_hooks=[FILE])
    first = runner(model, data, tmp_path, iters=2, **settings)
    first.train()
    left = read_tokens(str(tmp_path / 'tokens.pth'))
    assert left.info == first.model.info
    assert left.info['teacher'] == first.model.teacher.fingerprint
    state = first.model.mask_modules.state_dict()
    assert not differing(left.modules.state_dict(), state)
    # A checkpoint is a token file, too.
    kept = read_tokens(str(tmp_path / 'iter_2.pth'))
    assert kept.info == left.info
    assert not differing(kept.modules.state_dict(), state)
    begun = AtStart()
    second = runner(
        model, data, tmp_path, iters=3, hooks=[begun], resume=True, **settings
    )
    second.train()
    assert not differing(begun.state, snapshot(first.model))
    assert differing(begun.state, snapshot(second.model))


def test_tokens_of_another_teacher_are_not_gone_on_with(
    seg_teacher, data, tmp_path
):
    settings = dict(iters=1, save=1, custom_hooks=[FILE])
    runner(learner(seg_teacher), data, tmp_path, **settings).train()
    other = pspnet(depth=50)
    path = save_weights(other, tmp_path / 'other.pth', seed=5, scope='mmseg')
    made = runner(
        learner(dict(cfg=other, checkpoint=path)),
        data,
        tmp_path,
        resume=True,
        **settings,
    )
    with pytest.raises(ValueError, match=r'tokens of another teacher: .*Remo'):
        made.train()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(num_tokens=3), r'3 tokens a level.*\(2, 4\), expected \(3, 4\)'),
        (dict(weighting=True), 'with a weighting net.* is missing, expected'),
    ],
)
def test_a_checkpoint_of_other_tokens_is_refused(
    seg_teacher, data, tmp_path, settings, message
):
    runner(learner(seg_teacher), data, tmp_path, iters=1, save=1).train()
    model = learner(seg_teacher) | settings
    made = runner(
        model,
        data,
        tmp_path,
        iters=1,
        load_from=str(Path(tmp_path, 'iter_1.pth')),
    )
    with pytest.raises(ValueError, match=message):
        made.train()
    made.load_from = None
    torch.save(dict(state_dict={}), tmp_path / 'empty.pth')
    with pytest.raises(ValueError, match='does not hold what this model'):
        made.load_checkpoint(str(tmp_path / 'empty.pth'))
