"""CrossKD: its fixtures, and distilled GFL and RetinaNet."""

import numpy as np
import pytest
import torch
from mmdet.models.losses import GIoULoss
from torch.nn.functional import conv2d

from mmdistill_dense.models.connectors import StatisticsConnector
from mmdistill_dense.models.losses import (
    BoxOverlapLoss,
    EdgeDistributionLoss,
    FocalScoreLoss,
    LocalisationLoss,
)
from mmdistill_dense.models.losses.inputs import Assignment

from ..helpers.batches import detection_batch, step_losses
from ..helpers.configs import preset
from ..helpers.models import distiller
from ..helpers.published import (
    WAITS,
    Operators,
    check_published,
    fixture_maps,
)
from . import zoo


def draw(rs, *shape, scale=2.0):
    return torch.from_numpy(scale * rs.randn(*shape))


class Fixture:
    """Holds of both sides, and the rest of the teacher's head."""

    def __init__(self):
        self.cls = fixture_maps()
        rs = np.random.RandomState(2)
        self.reg = [draw(rs, 2, 8, 4, 6) for _ in range(2)]
        self.reg[0].requires_grad_()
        rs = np.random.RandomState(1)
        self.convs = [
            (draw(rs, out, 8, 3, 3, scale=0.2), draw(rs, out, scale=0.1))
            for out in (8, 8, 3, 20)
        ]
        self.label_weights = torch.ones(2, 24).double()

    def aligned(self, holds):
        extras = dict(reference=dict(teacher=holds[1]))
        return StatisticsConnector(8, 8).double()(holds[0], extras)

    def rest(self, hold, kind):
        """The teacher's activation, convolution and prediction."""
        first, last = self.convs[kind::2]
        x = conv2d(hold.relu(), *first, padding=1).relu()
        return conv2d(x, *last, padding=1) * (1.25 if kind else 1)

    def outputs(self, kind):
        """Of the student across the teacher's head, and of the teacher."""
        holds = self.reg if kind else self.cls
        return dict(
            student=self.rest(self.aligned(holds), kind),
            teacher=self.rest(holds[1], kind),
        )

    def assigned(self, positives, weights=None, **settings):
        weights = self.label_weights if weights is None else weights
        labels = torch.zeros(weights.shape).long()
        boxes = torch.zeros(*weights.shape, 4).double()
        others = {'priors': boxes, **settings}
        return Assignment(
            labels, weights, boxes, avg_factor=positives, **others
        )

    def scores_extra(self):
        return dict(scores=dict(teacher=self.outputs(0)['teacher']))

    def losses(self, assigned):
        cls = FocalScoreLoss()(**self.outputs(0), assigned=assigned)
        total, divisor = EdgeDistributionLoss(loss_weight=4.0)(
            **self.outputs(1), assigned=assigned, extras=self.scores_extra()
        )
        return cls, total, divisor


@pytest.fixture
def head():
    return Fixture()


def test_the_aligned_map_equals_the_authors(head):
    found = head.aligned(head.cls).flatten()[:3].tolist()
    expected = 2.5110538009692585, -0.23537738184421558, 0.9296918675852692
    assert found == pytest.approx(expected, rel=1e-12)


def test_the_losses_of_gfl_equal_the_authors(head):
    head.label_weights[0, 5] = head.label_weights[1, 23] = 0
    cls, total, divisor = head.losses(head.assigned(3.0))
    assert divisor.item() == pytest.approx(39.01402883347404, rel=1e-12)
    check_published(
        cls,
        head.cls[0],
        15.632230849045978,
        1.7136625386332922,
        [-0.14442427521803602, -0.029911263411489822, -0.04171262429439872],
    )
    check_published(
        total / divisor,
        head.reg[0],
        5.62849477284037,
        0.45970162228038264,
        [-3.670711475827381e-3, -0.10233626015673813, 0.012678558005693293],
    )


def test_without_positives_all_anchors_take_part(head):
    cls, total, divisor = head.losses(head.assigned(2.0))
    check_published(
        cls,
        head.cls[0],
        25.220139670793888,
        2.6948034333422037,
        [-0.23314436688251283, -0.05073540123342991, -0.07295082585778777],
    )
    check_published(
        total / divisor,
        head.reg[0],
        5.516839846338487,
        0.44494559401521233,
        [-3.843589705537021e-3, -0.09825947555582146, 0.012372575054472854],
    )


def test_without_any_label_weight_all_is_zero(head):
    cls, total, divisor = head.losses(
        head.assigned(1.0, torch.zeros(2, 24).double())
    )
    assert divisor.item() == 0
    for value, holds in ((cls, head.cls), (total, head.reg)):
        (gradient,) = torch.autograd.grad(value, holds[0])
        assert value.item() == 0
        assert not gradient.any()


def retina(head):
    """Class maps, deltas, and the assignment of two anchors a cell."""
    rs = np.random.RandomState(1)
    teacher, student = (draw(rs, 2, 8, 4, 6, scale=0.3) for _ in range(2))
    weights = torch.ones(2, 48).double()
    weights[0, 3] = weights[1, 40] = 0
    y, x = (
        8.0 * g
        for g in torch.meshgrid(
            torch.arange(4), torch.arange(6), indexing='ij'
        )
    )
    centres = torch.stack([x, y, x, y], -1)[:, :, None]
    corners = torch.tensor([[-16.0, -16, 16, 16], [-24, -12, 24, 12]])
    priors = (centres + corners).double().view(1, 48, 4).expand(2, -1, -1)
    coding = (0.0,) * 4, (1.0,) * 4
    assigned = head.assigned(5.0, weights, priors=priors, coding=coding)
    return student.requires_grad_(), teacher, assigned


def test_the_losses_of_retinanet_equal_the_authors(head):
    student, teacher, assigned = retina(head)
    scores, soft = (x[:, :6] for x in head.cls)
    cls = FocalScoreLoss()(student=scores, teacher=soft, assigned=assigned)
    check_published(
        cls,
        head.cls[0],
        31.071409797820795,
        1.4043124307252726,
        [0.050450867247495444, 0.13468939374413394, 0.15382046436819244],
    )
    reg = BoxOverlapLoss()(
        student=student,
        teacher=teacher,
        assigned=assigned,
        extras=dict(scores=dict(teacher=soft)),
    )
    check_published(
        reg,
        student,
        12.230651814844908,
        1.628911122880084,
        [-0.15854817953801534, 0.11642120026485854, 0],
    )


def test_boxes_need_a_head_of_anchors_and_scores_of_its_priors(head):
    student, teacher, assigned = retina(head)
    maps = dict(student=student, teacher=teacher)
    extras = dict(scores=dict(teacher=head.cls[1][:, :5]))
    with pytest.raises(ValueError, match='with A priors a cell that divide'):
        BoxOverlapLoss()(**maps, assigned=assigned, extras=extras)
    with pytest.raises(ValueError, match="needs the extra 'scores' of the te"):
        BoxOverlapLoss()(**maps, assigned=assigned, extras={})
    other = head.assigned(5.0)
    with pytest.raises(ValueError, match='For a GFL head use EdgeDistribut'):
        BoxOverlapLoss()(**maps, assigned=other, extras=extras)


def test_a_connector_needs_the_teachers_map(head):
    connector = StatisticsConnector(8, 6)
    assert connector.align.weight.shape == (6, 8, 1, 1)
    feature = torch.randn(2, 8, 4, 6)
    for extras, found in (
        ({}, 'got none'),
        (dict(reference=dict(student=feature)), 'got none'),
        (dict(reference=dict(teacher=feature)), r'got \(2, 8, 4, 6\)'),
    ):
        with pytest.raises(ValueError, match=f'of 6 channels, {found}'):
            connector(feature, extras)


HEADS = dict(
    gfl=(zoo.gfl, 'gn', ('gfl_cls', 'gfl_reg')),
    retinanet=(zoo.retinanet, 'conv', ('retina_cls', 'retina_reg')),
)


@pytest.mark.parametrize('name', HEADS)
def test_a_distilled_detector_has_the_losses_by_hand(teacher_of, name):
    build, hold, last = HEADS[name]
    terms = preset(f'crosskd_{name}').to_dict()
    model = distiller(build(), teacher_of(build), terms)
    model.init_weights()
    teacher = model.distill.teachers['teacher'].model.bbox_head
    for level, scale in enumerate(getattr(teacher, 'scales', [])):
        scale.scale.fill_(1 + level)
    kept, seen = {}, {}
    for head in (model.bbox_head, teacher):
        for kind in ('cls', 'reg'):
            module = head.get_submodule(f'{kind}_convs.2.{hold}')
            _keep(module, kept.setdefault(kind, {}).setdefault(head, []))
    for kind in ('cls', 'reg'):
        model.distill.terms[f'crosskd_{kind}'].loss.register_forward_pre_hook(
            lambda _, args, kwargs, kind=kind: seen.setdefault(
                kind, []
            ).append(kwargs),
            with_kwargs=True,
        )
    losses = step_losses(model, detection_batch(2, (96, 128)))
    assert not list(model.distill.parameters())
    values, divisors = dict(cls=[], reg=[]), []
    for level in range(5):
        for kind, module in zip(('cls', 'reg'), last, strict=True):
            got = seen[kind][level]
            holds = [kept[kind][h][level] for h in (model.bbox_head, teacher)]
            student, soft = _by_hand(teacher, kind, level, module, *holds)
            torch.testing.assert_close(got['student'], student)
            torch.testing.assert_close(got['teacher'], soft)
        assigned = seen['cls'][level]['assigned']
        p, q = (
            _rows(seen['cls'][level][side], assigned).sigmoid()
            for side in ('student', 'teacher')
        )
        entropy = -(q * p.log() + (1 - q) * (1 - p).log())
        cls = ((p - q).abs() * entropy).sum(-1) * assigned.label_weights
        values['cls'].append(cls.sum() / assigned.avg_factor)
        weight = q.amax(-1) * (assigned.label_weights > 0)
        s, t = (
            _rows(seen['reg'][level][side], assigned)
            for side in ('student', 'teacher')
        )
        reg = _regression(name, model.bbox_head, s, t, assigned)
        values['reg'].append((weight * reg).sum())
        divisors.append(weight.sum())
    divisor = sum(divisors) if name == 'gfl' else assigned.avg_factor
    torch.testing.assert_close(losses['loss_crosskd_cls'], sum(values['cls']))
    torch.testing.assert_close(
        losses['loss_crosskd_reg'], sum(values['reg']) / divisor
    )
    for kind in ('cls', 'reg'):
        convs = getattr(model.bbox_head, f'{kind}_convs')
        loss = losses[f'loss_crosskd_{kind}']
        first, later = torch.autograd.grad(
            loss,
            [convs[k].conv.weight for k in (0, 3)],
            retain_graph=True,
            allow_unused=True,
        )
        assert first.isfinite().all()
        assert first.abs().max() > 0
        assert later is None  # the student's own later layers take no part


def _keep(module, outputs):
    module.register_forward_hook(
        lambda _, args, out: outputs.append(out.clone()), prepend=True
    )


def _by_hand(head, kind, level, module, s, t):
    """Student's across the teacher's head, and the teacher's, on a level."""
    dims = dict(dim=(0, 2, 3), keepdim=True)
    s = (s - s.mean(**dims)) / (s.std(**dims) + 1e-6)
    convs, last = getattr(head, f'{kind}_convs'), getattr(head, module)
    for x in (s * t.std(**dims) + t.mean(**dims), t):
        out = last(convs[3](x.relu()))
        scaled = kind == 'reg' and hasattr(head, 'scales')
        yield head.scales[level](out) if scaled else out


def _rows(maps, assigned):
    """(N, A K, H, W) -> (N, P, K), in mmdet's order of priors."""
    count = assigned.labels.shape[1]
    return maps.permute(0, 2, 3, 1).reshape(len(maps), count, -1)


def _regression(name, head, s, t, assigned):
    """Distance of each prior (N, P), without weights."""
    if name == 'gfl':
        s, t = (x.unflatten(2, (4, -1)) for x in (s, t))
        kl = t.softmax(-1) * (t.log_softmax(-1) - s.log_softmax(-1))
        return kl.sum((2, 3))
    priors = assigned.priors.reshape(-1, 4)
    boxes = (head.bbox_coder.decode(priors, x.reshape(-1, 4)) for x in (s, t))
    return GIoULoss(reduction='none')(*boxes).view(assigned.labels.shape)


def test_no_loss_waits_for_a_device(head):
    student, teacher, assigned = retina(head)
    scores = dict(scores={k: x[:, :6] for k, x in _sides(head.cls).items()})
    edges = dict(_sides(head.reg), extras=dict(scores=_sides(head.cls)))
    cells = head.assigned(3.0)
    with Operators() as ran:
        cls, total, divisor = head.losses(cells)
        boxes = BoxOverlapLoss()(
            student=student, teacher=teacher, assigned=assigned, extras=scores
        )
        ld = LocalisationLoss()(**edges, assigned=cells)
        (cls + total / divisor + boxes + ld).backward()
    assert not ran.names & WAITS
    assert student.grad.isfinite().all()


def _sides(maps):
    return dict(zip(('student', 'teacher'), maps, strict=True))
