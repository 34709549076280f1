"""Terms on box heads, which see the student's own RoIs on both sides."""

from copy import deepcopy

import pytest
import torch
from mmengine.registry import MODELS
from mmengine.structures import InstanceData
from torch import nn
from torch.nn.functional import smooth_l1_loss

from mmdistill_dense.models.hosts.rois import concat_rois, whole_image_rois

from ..helpers.batches import detection_batch, step_losses, total
from ..helpers.models import cwd, distiller, mask_rcnn, stock
from . import zoo

SIZE = dict(input_size=(64, 64))
CASCADE = 'mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py'
BOX = 'roi_head.bbox_head'
FC_REG = f'{BOX}.fc_reg'


def batch():
    return detection_batch(2, (64, 64))


def imitate(at=FC_REG, beta=1.0, **settings):
    loss = dict(type='mmdistill_dense.ImitationLoss', beta=beta)
    return dict(at=at, loss=loss, **settings)


def cascade(**options):
    """A Cascade R-CNN; its heads are class-agnostic."""
    cfg = stock(CASCADE, **{**zoo.R18, **options})
    for head in cfg.roi_head.bbox_head:
        head.num_classes = 3
    return cfg


def agnostic_mask_rcnn():
    return mask_rcnn(**{f'{BOX}.reg_class_agnostic': True})


class Shared(nn.Conv2d):
    """A head between pooling and the box head."""

    def __init__(self):
        super().__init__(32, 32, 1)


@pytest.fixture
def with_shared_head(teacher_of):
    MODELS.register_module(module=Shared)
    yield teacher_of(mask_rcnn, **{'roi_head.shared_head': {'type': 'Shared'}})
    MODELS.module_dict.pop('Shared')


@pytest.fixture
def teacher(teacher_of):
    return teacher_of(mask_rcnn, depth=50)


def build(student, teacher, **terms):
    model = distiller(student, teacher, terms)
    model.init_weights()
    return model


def teacher_in(model):
    return model.distill.teachers['teacher'].model


def watch(module, calls):
    """Append what a module takes in and gives at each of its calls."""
    # Before a recorder's hook, which may leave the forward pass.
    module.register_forward_hook(
        lambda _, taken, out: calls.append((taken, out)), prepend=True
    )


def by_hand(model, head=BOX, extractor='roi_head.bbox_roi_extractor'):
    """A step's losses, the student's ``fc_reg``, and the teacher's.

    The teacher gets the RoIs that the student's extractor was given, by
    calling the host itself.
    """
    seen, pooled, images, given = [], [], [], []
    watch(model.get_submodule(f'{head}.fc_reg'), seen)
    watch(model.get_submodule(extractor), pooled)
    watch(model.backbone, images)
    losses = step_losses(model, batch())
    ((_, rois), _) = pooled[0]
    other = teacher_in(model)
    watch(other.get_submodule(f'{head}.fc_reg'), given)
    stage = [int(part) for part in head.split('.') if part.isdigit()]
    with torch.no_grad():
        maps = other.extract_feat(images[0][0][0])
        other.roi_head._bbox_forward(*stage, maps, rois)
    student_reg, teacher_reg = seen[0][1], given[0][1]
    assert len(rois) == len(student_reg) > 10
    return losses, student_reg, teacher_reg


def test_both_sides_predict_for_the_students_regions(teacher):
    model = build(mask_rcnn(), teacher, reg=imitate(beta=0.5))
    losses, student_reg, teacher_reg = by_hand(model)
    expected = smooth_l1_loss(student_reg, teacher_reg, beta=0.5)
    assert losses['loss_reg'].item() == pytest.approx(expected.item())
    losses['loss_reg'].backward()
    assert model.roi_head.bbox_head.fc_reg.weight.grad.abs().max() > 0
    assert model.neck.fpn_convs[0].conv.weight.grad.abs().max() > 0


def test_a_shared_head_is_passed_through(with_shared_head):
    model = build(with_shared_head['cfg'], with_shared_head, reg=imitate())
    losses, student_reg, teacher_reg = by_hand(model)
    expected = smooth_l1_loss(student_reg, teacher_reg)
    assert losses['loss_reg'].item() == pytest.approx(expected.item())


def test_each_stage_of_a_cascade_has_regions_of_its_own(teacher_of):
    heads = [f'{BOX}.{k}' for k in range(3)]
    model = build(
        cascade(),
        teacher_of(cascade),
        first=imitate(f'{heads[0]}.fc_reg'),
        last=imitate(f'{heads[2]}.fc_reg'),
    )
    for name, k in (('first', 0), ('last', 2)):
        losses, student_reg, teacher_reg = by_hand(
            deepcopy(model), heads[k], f'roi_head.bbox_roi_extractor.{k}'
        )
        expected = smooth_l1_loss(student_reg, teacher_reg).item()
        found = losses[f'loss_{name}'].item()
        assert found == pytest.approx(expected, rel=1e-5)


def test_a_student_of_one_stage_and_a_cascade(teacher_of):
    at = dict(student=FC_REG, teacher=f'{BOX}.0.fc_reg')
    model = build(agnostic_mask_rcnn(), teacher_of(cascade), reg=imitate(at))
    assert step_losses(model, batch())['loss_reg'] > 0
    calls = []
    for stage in teacher_in(model).roi_head.bbox_head:
        watch(stage.fc_reg, calls)
    step_losses(model, batch())
    assert len(calls) == 1  # it leaves behind the stage that is recorded


def test_nothing_of_the_student_is_changed(teacher):
    torch.manual_seed(3)
    alone = build(mask_rcnn(), None)
    torch.manual_seed(3)
    model = build(mask_rcnn(), teacher, reg=imitate(), neck_kd=cwd())
    results = []
    for one in (alone, model):
        torch.manual_seed(4)
        results.append(step_losses(one, batch()))
    stock, distilled = results
    assert set(distilled) - set(stock) == {'loss_reg', 'loss_neck_kd'}
    for key, value in stock.items():
        torch.testing.assert_close(distilled[key], value, rtol=0, atol=0)


@pytest.mark.parametrize('more', [False, True])
def test_brief(teacher, more):
    terms = dict(reg=imitate(), cls_kd=imitate(f'{BOX}.fc_cls'))
    if more:
        terms['rpn'] = imitate('rpn_head.rpn_cls')
    model = build(mask_rcnn(), teacher, **terms)
    ran = []
    for name, module in teacher_in(model).named_modules():
        module.register_forward_pre_hook(lambda *_, n=name: ran.append(n))
    losses = step_losses(model, batch())
    assert ran.count('backbone') == ran.count('roi_head.bbox_roi_extractor')
    assert ran.count('rpn_head.rpn_cls') == (5 if more else 0)
    assert ran.count(FC_REG) == ran.count(f'{BOX}.fc_cls') == 1
    assert not [name for name in ran if 'mask' in name]
    assert all(losses[f'loss_{name}'] > 0 for name in terms)


def test_no_region_is_pooled_while_its_term_rests(teacher):
    later = imitate(schedule=dict(begin=5))
    model = build(mask_rcnn(), teacher, reg=later, neck_kd=cwd())
    model.distill.clock.set(iteration=0)
    calls = []
    watch(teacher_in(model).roi_head.bbox_roi_extractor, calls)
    losses = step_losses(model, batch())
    assert not calls
    assert losses['loss_reg'] == 0
    model.distill.clock.set(iteration=5)
    assert step_losses(model, batch())['loss_reg'] > 0
    assert calls


def test_no_regions_at_all_give_no_nan(teacher):
    none = {'train_cfg.rpn_proposal.min_bbox_size': 1000}
    model = build(mask_rcnn(**none), teacher, reg=imitate())
    empty = batch()
    for sample in empty['data_samples']:
        sample.gt_instances = InstanceData(
            bboxes=torch.zeros(0, 4),
            labels=torch.zeros(0, dtype=torch.long),
            masks=sample.gt_instances.masks[[]],
        )
    losses = step_losses(model, empty)
    assert losses['loss_reg'].item() == 0
    total(model, losses).backward()
    grad = model.roi_head.bbox_head.fc_reg.weight.grad
    assert torch.isfinite(grad).all()


def test_a_copy_records_its_own_regions(teacher):
    model = build(mask_rcnn(), teacher, reg=imitate())
    twin = deepcopy(model)
    del model
    assert step_losses(twin, batch())['loss_reg'] > 0


def test_regions_are_joined_once_each():
    one, other, none = torch.rand(3, 5), torch.rand(2, 5), torch.rand(0, 5)
    joined, rows = concat_rois(dict(a=one, b=none, c=one, d=other))
    assert joined.shape == (5, 5)
    assert rows['a'] == rows['c']
    assert torch.equal(joined[rows['a']], one)
    assert torch.equal(joined[rows['d']], other)
    assert len(joined[rows['b']]) == 0
    assert concat_rois({}) == (None, {})


def test_the_region_of_a_dry_run_covers_its_image():
    rois = whole_image_rois(torch.zeros(2, 3, 40, 60))
    assert rois.tolist() == [[0, 0, 0, 60, 40], [1, 0, 0, 60, 40]]


def test_a_dense_head_is_compared_level_by_level(teacher_of):
    at = 'bbox_head.retina_reg'
    model = build(
        zoo.retinanet(), teacher_of(zoo.retinanet), reg=imitate(at, beta=0)
    )
    seen, given = [], []
    watch(model.get_submodule(at), seen)
    watch(teacher_in(model).get_submodule(at), given)
    losses = step_losses(model, batch())
    assert len(seen) == len(given) == 5
    expected = sum(
        (student_reg - teacher_reg).abs().mean()
        for (_, student_reg), (_, teacher_reg) in zip(seen, given, strict=True)
    )
    assert losses['loss_reg'].item() == pytest.approx(expected.item())
    losses['loss_reg'].backward()
    assert model.bbox_head.retina_reg.weight.grad.abs().max() > 0


@pytest.mark.parametrize(
    ('at', 'message'),
    [
        ('roi_head.mask_head.conv_logits', 'mask_head.* cannot be recorded'),
        ('roi_head', "'roi_head' cannot be recorded: of a RoI head only"),
        ('roi_head.bbox_roi_extractor', 'cannot be recorded.*bbox_head'),
        (f'{{neck,{FC_REG}}}', 'not of one kind: .*Use two terms'),
        (dict(student=FC_REG, teacher='neck'), 'one gives a row per RoI'),
        (dict(student='neck', teacher=FC_REG), 'one gives a row per RoI'),
    ],
)
def test_what_cannot_be_compared(teacher, at, message):
    with pytest.raises(ValueError, match=f"term 'reg'.*{message}"):
        build(mask_rcnn(), teacher, reg=imitate(at))


def test_several_stages_in_one_term(teacher_of):
    with pytest.raises(ValueError, match='Use a term for each stage'):
        build(
            cascade(),
            teacher_of(cascade),
            reg=imitate(f'{BOX}.*.fc_reg'),
        )


def test_a_class_agnostic_student_and_a_class_specific_teacher(teacher_of):
    with pytest.raises(
        ValueError,
        match=r"term 'reg': .*student \(1, 4\) and teacher \(1, 12\) differ, "
        '.*class-agnostic',
    ):
        build(agnostic_mask_rcnn(), teacher_of(mask_rcnn), reg=imitate())


def test_a_model_without_a_roi_head(teacher_of, teacher):
    single = teacher_of(zoo.retinanet)
    with pytest.raises(
        ValueError,
        match=r"term 'reg', student: no module matches 'roi_head\.bbox_head"
        r"\.fc_reg'\. Nearest names: bbox_head\.retina_reg",
    ):
        build(single['cfg'], teacher, reg=imitate())
    with pytest.raises(
        ValueError,
        match=r"term 'reg', teacher 'teacher': no module matches 'roi_head",
    ):
        build(mask_rcnn(), single, reg=imitate())


class Queries(nn.Module):
    """Stands for a RoI head whose box head needs more than RoIs."""

    def __init__(self):
        super().__init__()
        self.bbox_roi_extractor = nn.ModuleList([nn.Identity()])
        self.bbox_head = nn.ModuleList([nn.Linear(2, 2)])

    def _bbox_forward(self, stage, x, rois, object_feats):
        raise NotImplementedError


def test_a_box_head_that_needs_more_than_regions(teacher):
    student = MODELS.build(mask_rcnn())
    student.roi_head = Queries()
    with pytest.raises(
        ValueError,
        match=r"term 'reg', student: Queries cannot run on given "
        r"RoIs: .*'object_feats'\]",
    ):
        MODELS.build(
            dict(
                type='mmdistill_dense.DenseDistiller',
                student=student,
                teacher=teacher,
                terms=dict(reg=imitate(f'{BOX}.0')),
                **SIZE,
            )
        )
