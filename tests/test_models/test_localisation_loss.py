"""LD: its fixture, mmdet's own head, and a distilled GFL."""

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS
from mmengine.structures import InstanceData

from mmdistill_dense.models.hosts.assignment import capture_assignment
from mmdistill_dense.models.losses import LocalisationLoss
from mmdistill_dense.models.losses.inputs import Assignment

from ..helpers.batches import detection_batch, step_losses
from ..helpers.configs import preset
from ..helpers.models import distiller
from . import zoo

#: What mmdet 3.x adds to a divisor.
EPS = 2.0**-23


@pytest.fixture
def double(monkeypatch):
    """As the fixtures were executed: mmdet casts to torch.float."""
    monkeypatch.setattr(torch, 'float', torch.float64)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def maps(seed, *shapes, scale=1):
    rs = np.random.RandomState(seed)
    return [torch.from_numpy(scale * rs.randn(*shape)) for shape in shapes]


@pytest.fixture
def fixture():
    """Class logits of both, and edge logits of both, of the fixture."""
    scores = maps(0, *[(2, 8, 4, 6)] * 2, scale=2)
    edges = maps(1, *[(2, 20, 4, 6)] * 2)
    edges[0].requires_grad_()
    scores[0].requires_grad_()
    return scores, edges


def assignment(positives):
    """Labels of 8 classes on 24 cells of two images."""
    labels = torch.full((2, 24), 8)
    for (image, cell), label in positives.items():
        labels[image, cell] = label
    others = torch.ones(2, 24), torch.zeros(2, 24, 4), torch.zeros(2, 24, 4)
    return Assignment(labels, *others, avg_factor=max(len(positives), 1))


def value_of(fixture, assigned, eps=0.0):
    (logits, _), (student, teacher) = fixture
    return LocalisationLoss(eps=eps, loss_weight=0.25)(
        student=student,
        teacher=teacher,
        assigned=assigned,
        extras=dict(scores=dict(student=logits)),
    )


POSITIVES = {(0, 7): 1, (0, 14): 3, (1, 9): 0}


@pytest.mark.parametrize(
    ('eps', 'expected'), [(0, 0.13734794722849938), (EPS, 0.1373479431352117)]
)
def test_it_equals_the_authors_and_with_eps_mmdets(fixture, eps, expected):
    (logits, _), (student, _) = fixture
    value = value_of(fixture, assignment(POSITIVES), eps)
    value.backward()
    assert value.item() == pytest.approx(expected, rel=1e-12)
    assert logits.grad is None
    if not eps:
        norm = student.grad.norm().item()
        assert norm == pytest.approx(0.02445232661345439, rel=1e-12)
        first = student.grad[student.grad != 0][:3].tolist()
        assert first == pytest.approx(
            [
                -1.0931421636734403e-3,
                -1.4919748371503426e-3,
                -1.5481644572412276e-3,
            ],
            rel=1e-12,
        )


def test_without_positives_it_is_zero_and_so_is_its_gradient(fixture):
    value = value_of(fixture, assignment({}))
    value.backward()
    assert value.item() == 0
    assert torch.equal(fixture[1][0].grad, torch.zeros(2, 20, 4, 6).double())


def head(cfg=None):
    """mmdet's LDHead of the fixture: one level, stride 8, 64x64 anchors."""
    cfg = cfg or dict(
        num_classes=8,
        in_channels=8,
        feat_channels=8,
        stacked_convs=1,
        norm_cfg=None,
        reg_max=4,
        anchor_generator=dict(
            type='AnchorGenerator',
            ratios=[1.0],
            octave_base_scale=8,
            scales_per_octave=1,
            strides=[8],
        ),
        loss_cls=dict(type='QualityFocalLoss', use_sigmoid=True),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        train_cfg=dict(
            assigner=dict(type='ATSSAssigner', topk=9),
            allowed_border=-1,
            pos_weight=-1,
        ),
    )
    loss = dict(type='KnowledgeDistillationKLDivLoss', loss_weight=0.25, T=10)
    own = {**cfg, 'type': 'mmdet.LDHead', 'loss_ld': loss, '_scope_': 'mmdet'}
    return MODELS.build(ConfigDict(own))


def truth(*boxes):
    """Instances of one image, of class and box."""
    labels = torch.tensor([label for label, _ in boxes]).long()
    corners = torch.tensor([box for _, box in boxes]).float().view(-1, 4)
    return InstanceData(bboxes=corners, labels=labels)


BOXES = [
    truth((1, [0.0, 0, 20, 18]), (3, [6.0, 4, 46, 28])),
    truth((0, [10.0, 2, 44, 26])),
]
METAS = [dict(img_shape=(32, 48), pad_shape=(32, 48))] * 2


def test_assigned_by_mmdet_it_equals_its_ld_head(fixture, double):
    scores, (student, teacher) = fixture
    stock = head()
    with capture_assignment(stock) as levels:
        stock_losses = stock.loss_by_feat(
            scores[:1], [student], BOXES, METAS, [teacher]
        )
    (assigned,) = levels
    cells = [row.nonzero().flatten() for row in assigned.positives(8)]
    assert cells[0].tolist() == [7, 8, 9, 10, 13, 14, 15, 16, 20, 21, 22]
    assert cells[1].tolist() == [8, 9, 10, 14, 15, 16, 17, 21, 22]
    assert assigned.avg_factor == 20
    value = value_of(fixture, assigned, EPS)
    expected = stock_losses['loss_ld'][0]
    gradients = [
        torch.autograd.grad(x, student, retain_graph=True)[0]
        for x in (expected, value)
    ]
    assert value.item() == pytest.approx(0.7131658411942844, rel=1e-12)
    assert expected.item() == pytest.approx(value.item(), rel=1e-12)
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-15)
    norm = gradients[1].norm().item()
    assert norm == pytest.approx(0.05607334249097715, rel=1e-12)
    first = gradients[1][gradients[1] != 0][:3].tolist()
    assert first == pytest.approx(
        [-1.0931421310952682e-3, -2.4844216283420514e-4, 1.2536372252335954e-3]
    )


def test_without_any_object_it_is_zero(fixture, double):
    scores, (student, teacher) = fixture
    with capture_assignment(head()) as levels:
        pass
    stock = head()
    with capture_assignment(stock) as levels:
        stock.loss_by_feat(
            scores[:1], [student], [truth(), truth()], METAS, [teacher]
        )
    assert levels[0].avg_factor == 2
    assert value_of(fixture, levels[0]).item() == 0


def ld(**settings):
    term = preset('ld').ld.to_dict()
    term['loss'].update(settings)
    return dict(ld=term)


def test_a_distilled_gfl_has_the_loss_of_mmdets_ld_head(teacher_of):
    model = distiller(zoo.gfl(), teacher_of(zoo.gfl), ld(eps=EPS))
    model.init_weights()
    stock = head({**zoo.gfl().bbox_head, **_train_cfg()})
    outputs, soft = [], []
    model.bbox_head.register_forward_hook(
        lambda _, args, out: outputs.append(out)
    )
    teacher = model.distill.teachers['teacher'].model.bbox_head
    for scale in teacher.scales:
        scale.register_forward_hook(
            lambda _, args, out: soft.append(out), prepend=True
        )
    batch = detection_batch(2, (96, 128))
    losses = step_losses(model, batch)
    (scores, edges), samples = outputs[0], batch['data_samples']
    stock_losses = stock.loss_by_feat(
        scores,
        edges,
        [x.gt_instances for x in samples],
        [x.metainfo for x in samples],
        soft,
    )
    expected = torch.stack(stock_losses['loss_ld']).sum()
    assert expected > 0
    torch.testing.assert_close(losses['loss_ld'], expected)
    parameters = [*model.bbox_head.gfl_reg.parameters()]
    gradients = [
        torch.autograd.grad(x, parameters, retain_graph=True)
        for x in (losses['loss_ld'], expected)
    ]
    torch.testing.assert_close(*gradients)
    assert gradients[0][0].abs().max() > 0


def _train_cfg():
    return dict(train_cfg=zoo.gfl().train_cfg)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(extras=dict(x=dict(student='bbox_head.gfl_cls'))), 'scores'),
        (
            dict(extras=dict(scores=dict(teacher='bbox_head.gfl_cls'))),
            "needs the extra 'scores' of the student",
        ),
    ],
)
def test_terms_that_are_refused(teacher_of, changes, message):
    terms = ld()
    terms['ld'].update(changes)
    with pytest.raises(ValueError, match=message):
        distiller(zoo.gfl(), teacher_of(zoo.gfl), terms)


def test_bins_of_another_number_are_refused(teacher_of):
    teacher = teacher_of(zoo.gfl, **{'bbox_head.reg_max': 8})
    with pytest.raises(ValueError, match='has 68 channels and the teacher 36'):
        distiller(zoo.gfl(), teacher, ld())
