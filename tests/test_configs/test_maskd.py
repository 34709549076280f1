"""What the two stages of MasKD say, alone and of each other."""

import re
from pathlib import Path

from mmdistill_dense.compat import config_path
from tests.helpers.configs import CONFIGS, DISTILLED, TOKENS, read
from tests.helpers.rules import for_each

MASKED = [path for path in DISTILLED if 'maskd_' in path.name]
DETECTORS = sorted((CONFIGS / 'maskd').glob('maskd_neck_*.py'))
CITYSCAPES = [path for path in MASKED if 'cityscapes' in path.name]
CASCADE = 'cascade-mask-rcnn_x101-64x4d'
ADAM = dict(type='Adam', lr=0.01, weight_decay=0.001)
SGD = dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.001)
README = (CONFIGS / 'maskd' / 'README.md').read_text(encoding='utf-8')
#: Where the student's own masks join in stage 2 of the authors.
JOINS = {
    'faster-rcnn_r101': 7330,
    'mask-rcnn_r101': 7330,
    CASCADE: 5000,
    'retinanet_r101': 7000,
    'retinanet_x101-64x4d': 8500,
    'fcos_r101-caffe': 5000,
    'reppoints-moment_x101-dconv-c3-c5': 5000,
}
#: Optimizers of stage 1 that are not the usual ones.
OTHER = {
    f'tokens_neck_{CASCADE}_fpn_coco': dict(ADAM, weight_decay=0.1),
    'tokens_neck_faster-rcnn_r101_fpn_coco': dict(SGD, weight_decay=1e-4),
}


def masked_terms(cfg):
    return {k: t for k, t in cfg.model.terms.items() if 'tokens' in t.loss}


@for_each(MASKED)
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


@for_each(MASKED)
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


@for_each(TOKENS)
def test_stage_1(path):
    cfg = read(path)
    (scheduler,) = cfg.param_scheduler
    assert scheduler.end == cfg.train_cfg.max_iters
    assert 'save_best' not in cfg.default_hooks.checkpoint
    assert cfg.model.get('weighting', True) is detects(cfg)


def detects(cfg):
    return cfg.default_scope == 'mmdet'


@for_each(path for path in TOKENS if path.parent.name == 'maskd')
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


@for_each(DETECTORS)
def test_stage_2_of_a_detector(path):
    """The schedule that the name ends with."""
    cfg = read(path)
    (factor,) = re.findall(r'[-_](\d)x_coco', path.name)
    epochs = 12 * int(factor)
    assert cfg.train_cfg.max_epochs == epochs
    steps = [2 * epochs // 3, 11 * epochs // 12]
    assert cfg.param_scheduler[1].milestones == steps
    teacher = path.name.removeprefix('maskd_neck_')
    (join,) = (n for name, n in JOINS.items() if teacher.startswith(name))
    assert cfg.model.terms.maskd.loss.custom_mask_warmup == join
    inherited = ['neck', 'bbox_head'] if 'retinanet' in path.name else None
    assert cfg.model.get('inherit') == inherited


def documented(pattern):
    """Numbers that the README gives with these words."""
    (found,) = re.findall(pattern, README)
    return [float(number.replace(',', '')) for number in found]


@for_each(DETECTORS)
def test_stage_2_of_a_detector_learns_as_the_readme_says(path):
    """As the student's stock config does, RetinaNet at its own rate."""
    cfg = read(path)
    (name,) = re.findall(r"'(mmdet::.+?)'", path.read_text(encoding='utf-8'))
    stock = read(config_path(name))
    optim, warmup = stock.optim_wrapper.to_dict(), stock.param_scheduler[0].end
    if 'retinanet' in path.name:
        rate, norm, warmup = documented(
            r'RetinaNet at ([\d.]+) with gradients clipped at (\d+) and '
            r'([\d,]+) iterations of warm-up'
        )
        assert optim['optimizer']['lr'] == rate / 2
        optim['optimizer']['lr'] = rate
        optim['clip_grad'] = dict(max_norm=norm, norm_type=2)
    # What is inherited keeps its scope.
    assert cfg.optim_wrapper.to_dict() == optim | dict(_scope_='mmdet')
    assert cfg.param_scheduler[0].end == warmup


def test_the_readme_says_when_the_students_own_masks_join():
    found = documented(r'after ([\d,]+) to ([\d,]+) iterations')
    assert found == [min(JOINS.values()), max(JOINS.values())]


@for_each(CITYSCAPES)
def test_stage_2_of_a_segmentor(path):
    cfg = read(path)
    optimizer = dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=5e-4)
    assert cfg.optim_wrapper.optimizer == optimizer
    (scheduler,) = cfg.param_scheduler
    assert (scheduler.eta_min, scheduler.end) == (1e-4, 40000)
    assert cfg.train_cfg.max_iters == 40000
    weights = [term.loss.loss_weight for term in cfg.model.terms.values()]
    assert weights == ([1, 0.4] if 'logits' in path.name else [1])
