"""Runs of terms whose losses and connectors need more than two maps."""

from copy import deepcopy

import pytest
import torch
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODELS
from torch import nn

from mmdistill_dense.models.distillers.schedule import seed_of_run
from mmdistill_dense.models.losses import DistillationLoss
from mmdistill_dense.models.utils import plain_state

from ..helpers.batches import (
    detection_batch,
    segmentation_batch,
    step_losses,
    total,
)
from ..helpers.models import STILL, distiller, pspnet, save_weights
from ..helpers.runs import (
    KeepLosses,
    differing,
    distilled,
    runner,
    snapshot,
    student_part,
)
from ..helpers.tool_runs import in_two_processes
from ..test_models import zoo

GENERATOR = dict(type='mmdistill_dense.MaskedGenerator', mask_ratio=0.3)
NORM = dict(type='mmdistill_dense.NormConnector')


class OnPositives(DistillationLoss):
    """Squared error where the head has assigned an object."""

    def forward(self, *, student, teacher, assigned, targets):
        n, _, h, w = student.shape
        chosen = (assigned.labels < 3).float().view(n, 1, h, w)
        count = sum(map(len, targets.boxes))
        errors = (student - teacher).pow(2) * (chosen + 0.1)
        return self.loss_weight * errors.mean() / max(count, 1)


class OnPixels(DistillationLoss):
    """Squared error of pixels of a class, after a layer of its own."""

    def __init__(self, channels, loss_weight=1.0):
        super().__init__(loss_weight)
        self.layers = nn.ModuleList(nn.Conv2d(c, c, 1) for c in channels)

    def forward(self, *, student, teacher, level, targets, generator, extras):
        stride = [int(s) for s in targets.stride]
        labels = targets.label_map[:, None, :: stride[0], :: stride[1]]
        noise = torch.rand(student.shape[1], generator=generator)
        errors = (self.layers[level](student) - teacher).pow(2)
        certain = extras['scores']['teacher'].softmax(1).amax(1, True)
        weights = (labels > 0) * noise[:, None, None]
        return self.loss_weight * (errors * weights).mean() * certain.mean()


class Plain(DistillationLoss):
    def forward(self, *, student, teacher):
        return self.loss_weight * (student - teacher).pow(2).mean()


@pytest.fixture(autouse=True)
def losses():
    kinds = OnPositives, OnPixels, Plain
    for kind in kinds:
        MODELS.register_module(module=kind)
    yield
    for kind in kinds:
        MODELS.module_dict.pop(kind.__name__)


def detection_terms(weight=1.0, share=0.1, **settings):
    """Assignment, targets, masks, a share, and the teacher's head."""
    return dict(
        positives=dict(
            at='neck',
            loss=dict(type='OnPositives', loss_weight=weight),
            connector=dict(student=GENERATOR, teacher=NORM),
            **settings,
        ),
        cross=dict(
            at=dict(
                student='bbox_head.cls_convs.1', teacher='bbox_head.gfl_cls'
            ),
            through=['bbox_head.cls_convs.{2..3}', 'bbox_head.gfl_cls'],
            connector=dict(type='mmdistill_dense.MLPConnector'),
            loss=dict(type='Plain'),
            share=share,
        ),
    )


def segmentation_terms(weight=1.0, share=0.1, **settings):
    return dict(
        pixels=dict(
            at='backbone.layer4',
            loss=dict(type='OnPixels', loss_weight=weight),
            connector=dict(student=GENERATOR, teacher=NORM),
            extras=dict(scores=dict(teacher='logits')),
            **settings,
        ),
        cross=dict(
            at=dict(
                student=dict(path='decode_head.bottleneck', take='input'),
                teacher='logits',
            ),
            through=['decode_head.bottleneck', 'decode_head.conv_seg'],
            loss=dict(type='Plain'),
            share=share,
        ),
    )


@pytest.fixture(scope='module')
def gfl_teacher(tmp_path_factory):
    cfg = zoo.gfl()
    path = tmp_path_factory.mktemp('gfl') / 'gfl.pth'
    return dict(cfg=cfg, checkpoint=save_weights(cfg, path))


KINDS = ('det', 'seg')


@pytest.fixture
def parts(gfl_teacher, seg_teacher):
    """Student, teacher, terms and batches of each host."""
    return dict(
        det=(zoo.gfl(), gfl_teacher, detection_terms, detection_batch),
        seg=(pspnet(**STILL), seg_teacher, segmentation_terms, seg_batch),
    )


def seg_batch(n=2, size=(64, 64), seed=0):
    return segmentation_batch(n, size, seed=seed)


@pytest.mark.parametrize('kind', KINDS)
def test_two_processes_stay_equal_without_a_search_for_unused_parameters(
    parts, kind, tmp_path
):
    student, teacher, terms, batch = parts[kind]
    # The first term is off in the first step and on in the second.
    late = terms(schedule=dict(begin=1))

    def work(rank):
        torch.manual_seed(rank)
        model = distiller(student, teacher, late)
        model.init_weights()
        wrapped = MMDistributedDataParallel(
            model, broadcast_buffers=False, find_unused_parameters=False
        )
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        for iteration in range(3):
            model.distill.clock.set(iteration=iteration)
            data = model.data_preprocessor(
                batch(2, (64, 64), seed=10 * iteration + rank), True
            )
            found = wrapped(**data, mode='loss')
            optimizer.zero_grad()
            total(model, found).backward()
            optimizer.step()
        names = dict(model.named_parameters())
        state = {k: p.detach() for k, p in names.items()}
        state |= {k: v for k, v in snapshot(model).items() if 'share' in k}
        torch.save(dict(state=state, loss=found), tmp_path / f'{rank}.pth')

    in_two_processes(work)
    one, two = (
        torch.load(tmp_path / f'{k}.pth', weights_only=False) for k in range(2)
    )
    assert any(k.startswith('distill.') for k in one['state'])
    assert not differing(one['state'], two['state'])
    # Each had a batch of its own.
    assert differing(
        *(
            {k: v for k, v in x['loss'].items() if 'cross' in k}
            for x in (one, two)
        )
    ) == ['loss_cross']


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
@pytest.mark.parametrize('kind', KINDS)
def test_a_step_under_autocast(parts, kind, dtype):
    student, teacher, terms, batch = parts[kind]
    model = distiller(student, teacher, terms())
    model.init_weights()
    model.distill.clock.set(iteration=0)
    expected = step_losses(model, batch(2, (64, 64)))
    model.distill.terms['cross'].share._count = 0
    model.distill.terms['cross'].share.average.zero_()
    with torch.autocast('cpu', dtype=dtype):
        found = step_losses(model, batch(2, (64, 64)))
        loss = total(model, found)
    loss.backward()
    for name in model.distill.terms:
        value = found[f'loss_{name}'].item()
        reference = expected[f'loss_{name}'].item()
        # The logits of an initial classifier are flat.
        assert value == pytest.approx(reference, rel=0.25)
    for name, parameter in model.distill.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_a_resumed_run_equals_one_that_never_stopped(
    data, seg_teacher, tmp_path
):
    model = distilled(pspnet(**STILL), seg_teacher, segmentation_terms())
    ema = dict(type='EMAHook', momentum=0.3)

    def train(end, folder, **settings):
        kept = KeepLosses()
        run = runner(
            model,
            data,
            tmp_path / folder,
            iters=end,
            save=4,
            hooks=[kept],
            custom_hooks=[ema],
            **settings,
        )
        run.train()
        return snapshot(run.model), kept.steps

    straight, expected = train(8, 'straight')
    train(4, 'halves')
    resumed, steps = train(8, 'halves', resume=True)
    assert any('.share.' in k for k in resumed)
    assert any('.loss.layers.' in k for k in resumed)
    assert not differing(straight, resumed)
    for before, after in zip(expected[4:], steps, strict=True):
        assert not differing(before, after)
    # What is exported has none of it.
    assert plain_state(resumed).keys() == student_part(resumed).keys()


def test_masks_of_a_resumed_run_have_the_seed_of_the_first(
    data, seg_teacher, tmp_path
):
    terms = segmentation_terms()
    one = dict(pixels=terms['pixels'])
    model = distilled(pspnet(**STILL), seg_teacher, one)
    for seed, settings in (5, dict(iters=1)), (9, dict(iters=2, resume=True)):
        run = runner(
            model,
            data,
            tmp_path,
            save=1,
            randomness=dict(seed=seed),
            **settings,
        )
        run.train()
        assert seed_of_run() == 5


def test_with_weights_of_zero_a_run_is_the_stock_run(
    data, seg_teacher, tmp_path
):
    def train(model, folder):
        kept = KeepLosses()
        run = runner(model, data, tmp_path / folder, iters=3, hooks=[kept])
        run.train()
        return snapshot(run.model), kept.steps

    student = pspnet()
    terms = segmentation_terms(weight=0.0, share=0.0)
    idle, _ = train(distilled(student, seg_teacher, terms), 'idle')
    stock, _ = train(student, 'stock')
    assert not differing(stock, student_part(idle))
    masked = segmentation_terms(weight=1.0, share=0.0)
    changed, _ = train(distilled(student, seg_teacher, masked), 'changed')
    assert differing(stock, student_part(changed))


def test_copies_compute_the_same(parts):
    """As EMA's and those of a process pool: hooks reach the copy."""
    for kind in KINDS:
        student, teacher, terms, batch = parts[kind]
        model = distiller(student, teacher, terms())
        model.init_weights()
        copied = deepcopy(model)
        found = []
        for one in (model, copied):
            one.distill.clock.set(iteration=0)
            losses = step_losses(one, batch(2, (64, 64)))
            found.append({k: v for k, v in losses.items() if k != 'acc'})
        for key in found[0]:
            for a, b in zip(*(_listed(x[key]) for x in found), strict=True):
                assert torch.equal(a, b), (kind, key)


def _listed(value):
    return value if isinstance(value, list) else [value]
