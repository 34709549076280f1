"""What losses get beside two maps: ground truth and target assignment."""

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import MODELS
from torch import nn

from mmdistill_dense.models.hosts.targets import read_targets
from mmdistill_dense.models.losses.inputs import Targets

from ..helpers.batches import (
    detection_batch,
    segmentation_batch,
    step_losses,
    total,
)
from ..helpers.models import distiller, mask_rcnn, pspnet, stock
from . import zoo

ATSS = 'mmdet::atss/atss_r50_fpn_1x_coco.py'


def atss(**options):
    cfg = stock(ATSS, **{**zoo.R18, 'bbox_head.num_classes': 3, **options})
    cfg.bbox_head.norm_cfg = dict(type='GN', num_groups=4)
    cfg.bbox_head.anchor_generator.octave_base_scale = 2
    return cfg


#: Means and deviations of what each head regresses.
CODINGS = {
    zoo.gfl: None,
    atss: ([0.0] * 4, [0.1, 0.1, 0.2, 0.2]),
    zoo.retinanet: ([0.0] * 4, [1.0] * 4),
}


class Keeps(nn.Module):
    """Keeps what it got of each step, by level."""

    seen: dict = {}

    def _value(self, student, teacher, level, got):
        self.seen[level] = got
        return (student - teacher).pow(2).mean()


class KeepsAssigned(Keeps):
    def forward(self, *, student, teacher, level, assigned):
        return self._value(student, teacher, level, assigned)


class KeepsTargets(Keeps):
    def forward(self, *, student, teacher, level, targets):
        return self._value(student, teacher, level, targets)


class NeedsBoxes(nn.Module):
    def forward(self, *, student, teacher, targets):
        return (student - teacher).mean() * len(targets.boxes)


class NeedsPixels(nn.Module):
    def forward(self, *, student, teacher, targets):
        return (student - teacher).mean() * len(targets.label_map)


@pytest.fixture(autouse=True)
def losses():
    kinds = KeepsAssigned, KeepsTargets, NeedsBoxes, NeedsPixels
    for kind in kinds:
        MODELS.register_module(module=kind)
    yield
    for kind in kinds:
        MODELS.module_dict.pop(kind.__name__)
        getattr(kind, 'seen', {}).clear()


def term(kind, at='neck', **settings):
    return dict(kd=dict(at=at, loss=dict(type=kind), **settings))


def built(student, teacher, terms, **settings):
    model = distiller(student, teacher, terms, **settings)
    model.init_weights()
    Keeps.seen.clear()
    return model


@pytest.mark.parametrize('build', [zoo.gfl, atss, zoo.retinanet])
def test_the_heads_own_assignment_is_captured(teacher_of, build, monkeypatch):
    model = built(build(), teacher_of(build), term('KeepsAssigned'))
    head, results, divisors = model.bbox_head, [], []
    own = head.get_targets

    def get_targets(*args, **kwargs):
        results.append(own(*args, **kwargs))
        return results[-1]

    monkeypatch.setattr(head, 'get_targets', get_targets)
    head.loss_cls.register_forward_pre_hook(
        lambda _, args, kwargs: divisors.append(kwargs['avg_factor']),
        with_kwargs=True,
    )
    before = dict(vars(head))
    losses = step_losses(model, detection_batch(2, (96, 128)))
    assert vars(head) == before
    # Assigned once, by the head itself.
    (found,) = results
    first = 0 if build is zoo.retinanet else 1
    labels, weights, boxes = found[first : first + 3]
    assert sorted(Keeps.seen) == list(range(5))
    positives = 0
    for level, got in Keeps.seen.items():
        assert got.labels is labels[level]
        assert got.label_weights is weights[level]
        assert got.box_targets is boxes[level]
        assert got.avg_factor == divisors[level]
        assert got.priors.shape == got.box_targets.shape
        assert got.coding == CODINGS[build]
        positives += int((got.labels < 3).sum())
    assert positives > 0
    total(model, losses).backward()


def test_assignment_is_found_by_the_stride_of_the_compared_maps(teacher_of):
    teacher = teacher_of(zoo.gfl)
    terms = term('KeepsAssigned', 'neck.fpn_convs.{1..2}.conv')
    model = built(zoo.gfl(), teacher, terms)
    step_losses(model, detection_batch(2, (64, 128)))
    shapes = {k: v.labels.shape for k, v in Keeps.seen.items()}
    assert shapes == {0: (2, 4 * 8), 1: (2, 2 * 4)}
    # The priors of a level have its stride.
    x = Keeps.seen[0].priors[0, :8, ::2].mean(1)
    assert torch.equal(x.diff(), torch.full((7,), 16.0))


def test_a_level_of_another_stride_is_refused(teacher_of):
    teacher = teacher_of(zoo.gfl)
    terms = term('KeepsAssigned', 'backbone')
    message = r"term 'kd': .*needs 'assigned'.* strides 8, 16, .*stride 4\."
    with pytest.raises(ValueError, match=message):
        distiller(zoo.gfl(), teacher, terms)
    weighted = term('KeepsAssigned', 'backbone', level_weights=[0, 1, 1, 1])
    model = built(zoo.gfl(), teacher, weighted)
    step_losses(model, detection_batch(2, (64, 64)))
    assert sorted(Keeps.seen) == [1, 2, 3]


@pytest.mark.parametrize(
    ('build', 'at', 'found'),
    [
        (pspnet, 'backbone', 'EncoderDecoder has no dense bbox_head'),
        (mask_rcnn, 'neck', 'MaskRCNN has no dense bbox_head'),
        (zoo.fcos, 'neck', 'FCOS has FCOSHead: expected a head of GFL, ATSS'),
    ],
)
def test_a_student_that_assigns_otherwise_is_refused(
    teacher_of, build, at, found
):
    with pytest.raises(ValueError, match=f"term 'kd': .*'assigned'.*{found}"):
        distiller(build(), teacher_of(build), term('KeepsAssigned', at))


def test_a_head_that_does_not_compute_its_loss_per_level_is_refused(
    teacher_of, monkeypatch
):
    model = built(zoo.gfl(), teacher_of(zoo.gfl), term('KeepsAssigned'))
    monkeypatch.setattr(model.bbox_head, 'loss_by_feat', lambda *_, **__: {})
    with pytest.raises(RuntimeError, match='for 0 levels, expected 5'):
        step_losses(model, detection_batch(2, (64, 64)))


def test_boxes_are_those_of_the_batch_after_augmentation(teacher_of):
    resize = dict(
        type='BatchSyncRandomResize',
        random_size_range=(128, 128),
        interval=9,
        size_divisor=32,
    )
    student = zoo.retinanet()
    student.data_preprocessor.batch_augments = [resize]
    model = built(student, teacher_of(zoo.retinanet), term('KeepsTargets'))
    preprocessor = model.data_preprocessor
    (augment,) = preprocessor.batch_augments
    augment._input_size = (128, 128)
    MessageHub.get_current_instance().update_info('iter', 0)
    batch = detection_batch(2, (64, 64))
    data = preprocessor(batch, True)
    assert data['inputs'].shape[-2:] == (128, 128)
    model(**data, mode='loss')
    for level, got in Keeps.seen.items():
        assert got.stride == (8 * 2**level,) * 2
        assert got.batch_shape == (128, 128)
        first = torch.tensor([[16.0, 16, 120, 140], [80, 40, 220, 180]])
        assert torch.equal(got.boxes[1], first)
        assert got.labels[1].tolist() == [0, 2]


def test_shapes_without_padding_are_given(teacher_of):
    model = built(mask_rcnn(), teacher_of(mask_rcnn), term('KeepsTargets'))
    batch = detection_batch(2, (64, 64))
    smaller = detection_batch(1, (50, 40), seed=1)
    for key in batch:
        batch[key][1] = smaller[key][0]
    step_losses(model, batch)
    got = Keeps.seen[0]
    assert got.image_shapes == [(64, 64), (50, 40)]
    assert got.batch_shape == (64, 64)


def test_a_segmentor_gives_its_label_map(teacher_of):
    terms = term('KeepsTargets', 'backbone')
    model = built(pspnet(), teacher_of(pspnet, depth=50), terms)
    batch = segmentation_batch(2, (64, 64))
    expected = [x.gt_sem_seg.data[0].clone() for x in batch['data_samples']]
    step_losses(model, batch)
    assert torch.equal(Keeps.seen[3].label_map, torch.stack(expected))
    assert Keeps.seen[3].stride == (8, 8)


@pytest.mark.parametrize(
    ('build', 'kind', 'at', 'message'),
    [
        (pspnet, 'NeedsBoxes', 'backbone', 'boxes of .* segmentor does not'),
        (mask_rcnn, 'NeedsPixels', 'neck', 'a label map of .* detector does'),
    ],
)
def test_targets_of_the_other_kind_of_model_are_refused(
    teacher_of, build, kind, at, message
):
    with pytest.raises(ValueError, match=f"term 'kd': .*needs {message}"):
        distiller(build(), teacher_of(build), term(kind, at))


def test_nothing_is_read_that_no_loss_needs(teacher_of, monkeypatch):
    from mmdistill_dense.models.distillers import step

    read = []
    monkeypatch.setattr(
        step, 'read_targets', lambda *args: read.append(read_targets(*args))
    )
    monkeypatch.setattr(step, 'capture_assignment', read.append)
    loss = dict(type='mmdistill_dense.ChannelWiseLoss')
    kd = dict(kd=dict(at='neck', loss=loss))
    model = distiller(zoo.gfl(), teacher_of(zoo.gfl), kd)
    model.init_weights()
    step_losses(model, detection_batch(2, (64, 64)))
    assert not read


def test_targets_are_plain_tensors_whatever_the_boxes_are():
    from mmdet.structures.bbox import HorizontalBoxes

    samples = detection_batch(1, (64, 64))['data_samples']
    plain = samples[0].gt_instances.bboxes
    samples[0].gt_instances.bboxes = HorizontalBoxes(plain)
    got = read_targets(samples, torch.zeros(1, 3, 64, 64))
    assert type(got.boxes[0]) is torch.Tensor
    assert torch.equal(got.boxes[0], plain)
    assert isinstance(got, Targets)
