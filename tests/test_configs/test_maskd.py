"""What the two stages of MasKD say, alone and of each other."""

from pathlib import Path

import pytest

from mmdistill_dense.compat import config_path
from tests.helpers.configs import CONFIGS, DISTILLED, TOKENS, read, relative

MASKED = [path for path in DISTILLED if 'maskd_' in path.name]
CITYSCAPES = [path for path in MASKED if 'cityscapes' in path.name]
CASCADE = 'cascade-mask-rcnn_x101-64x4d'
#: Stage 2 of a detector: weight, warm-up of the student's masks, learning
#: rate, clipping, imitation as (beta, weight), what is inherited.
DETECTORS = {
    'faster-rcnn_r101_faster-rcnn_r50_fpn_2x_coco': (
        (1, 7330, 0.02, None, [(1, 1)], None)
    ),
    f'{CASCADE}_faster-rcnn_r50_fpn_2x_coco': (
        (1, 5000, 0.02, None, [(1, 1)], None)
    ),
    'mask-rcnn_r101_mask-rcnn_r50_fpn_2x_coco': (
        (1, 7330, 0.02, None, [(1, 1)], None)
    ),
    f'{CASCADE}_mask-rcnn_r50_fpn_2x_coco': (
        (1, 5000, 0.02, None, [(1, 1)], None)
    ),
    'retinanet_r101_retinanet_r50_fpn_2x_coco': (
        (7, 7000, 0.02, 35, [(0, 1)], ['neck', 'bbox_head'])
    ),
    'retinanet_x101-64x4d_retinanet_r50_fpn_2x_coco': (
        (7, 8500, 0.02, 35, [(1, 1)], ['neck', 'bbox_head'])
    ),
    'fcos_r101-caffe_fcos_r50-caffe_fpn_gn-head_ms-640-800-2x_coco': (
        (10, 5000, 0.01, 35, [], None)
    ),
    'reppoints-moment_x101-dconv-c3-c5_'
    'reppoints-moment_r50_fpn-gn_head-gn_2x_coco': (
        (10, 5000, 0.01, None, [(0.11, 0.2), (0.11, 0.1)], None)
    ),
}
ADAM = dict(type='Adam', lr=0.01, weight_decay=0.001)
SGD = dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.001)
#: Optimizers of stage 1 that are not the usual ones.
OTHER = {
    f'tokens_neck_{CASCADE}_fpn_coco': dict(ADAM, weight_decay=0.1),
    'tokens_neck_faster-rcnn_r101_fpn_coco': dict(SGD, weight_decay=1e-4),
}

every_masked = pytest.mark.parametrize('path', MASKED, ids=relative)
every_learner = pytest.mark.parametrize('path', TOKENS, ids=relative)


def masked_terms(cfg):
    return {k: t for k, t in cfg.model.terms.items() if 'tokens' in t.loss}


@every_masked
def test_both_stages_agree(path):
    cfg = read(path)
    stage_1 = Path(config_path(cfg.token_cfg))
    learner = read(stage_1).model
    assert learner.teacher == cfg.model.teacher
    for term in masked_terms(cfg).values():
        assert term.loss.tokens == f'work_dirs/{stage_1.stem}/tokens.pth'
        assert term.loss.get('weighting', False) == learner.get(
            'weighting', True
        )


@every_masked
def test_the_place_is_that_of_the_tokens(path):
    cfg = read(path)
    learner = read(config_path(cfg.token_cfg)).model
    (at, *others) = [term['at'] for term in masked_terms(cfg).values()]
    assert (at.teacher if isinstance(at, dict) else at) == learner.at
    assert others in ([], ['auxiliary_head.conv_seg'])
    assert f'_{where(learner.at)}_' in path.name or path.parent.name == 'demo'


def where(at):
    return at if isinstance(at, str) else 'features'


def test_every_learner_has_a_second_stage():
    used = {Path(config_path(read(path).token_cfg)) for path in MASKED}
    assert used == set(TOKENS)


@every_learner
def test_stage_1(path):
    cfg = read(path)
    (scheduler,) = cfg.param_scheduler
    assert scheduler.end == cfg.train_cfg.max_iters
    assert 'save_best' not in cfg.default_hooks.checkpoint
    assert cfg.model.get('weighting', True) is detects(cfg)


def detects(cfg):
    return cfg.default_scope == 'mmdet'


@pytest.mark.parametrize(
    'path', [p for p in TOKENS if p.parent.name == 'maskd'], ids=relative
)
def test_stage_1_is_the_authors(path):
    cfg = read(path)
    optimizer, kind, floor, iterations, tokens = (
        (ADAM, 'CosineAnnealingLR', 1e-6, 2000, 6)
        if detects(cfg)
        else (SGD, 'PolyLR', 0, 10000, 8)
    )
    assert cfg.optim_wrapper.optimizer == OTHER.get(path.stem, optimizer)
    (scheduler,) = cfg.param_scheduler
    assert (scheduler.type, scheduler.eta_min) == (kind, floor)
    assert cfg.train_cfg.max_iters == iterations
    assert cfg.model.num_tokens == tokens
    assert 8 * cfg.train_dataloader.batch_size == 16


@pytest.mark.parametrize('name', DETECTORS)
def test_stage_2_of_a_detector(name):
    cfg = read(CONFIGS / 'maskd' / f'maskd_neck_{name}.py')
    weight, warmup, lr, clip, imitated, inherited = DETECTORS[name]
    masked, *imitation = [term.loss for term in cfg.model.terms.values()]
    assert masked.loss_weight == weight
    assert masked.custom_mask_warmup == warmup
    assert [(loss.beta, loss.loss_weight) for loss in imitation] == imitated
    assert cfg.optim_wrapper.optimizer.lr == lr
    assert cfg.optim_wrapper.get('clip_grad', {}).get('max_norm') == clip
    assert cfg.model.get('inherit') == inherited
    assert cfg.train_cfg.max_epochs == 24
    assert cfg.param_scheduler[1].milestones == [16, 22]


def test_every_detector_is_in_the_table():
    found = (CONFIGS / 'maskd').glob('maskd_neck_*.py')
    expected = {f'maskd_neck_{name}.py' for name in DETECTORS}
    assert {path.name for path in found} == expected


@pytest.mark.parametrize('path', CITYSCAPES, ids=relative)
def test_stage_2_of_a_segmentor(path):
    cfg = read(path)
    optimizer = dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=5e-4)
    assert cfg.optim_wrapper.optimizer == optimizer
    (scheduler,) = cfg.param_scheduler
    assert (scheduler.eta_min, scheduler.end) == (1e-4, 40000)
    assert cfg.train_cfg.max_iters == 40000
    weights = [term.loss.loss_weight for term in cfg.model.terms.values()]
    assert weights == ([1, 0.4] if 'logits' in path.name else [1])
