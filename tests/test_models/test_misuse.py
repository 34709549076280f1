"""Uses that look right, train nothing or something else, and are refused."""

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.registry import MODELS
from torch import nn

from mmdistill_dense.models import DenseDistiller
from mmdistill_dense.models.distillers.report import describe_terms
from mmdistill_dense.models.teachers.loading import load_weights

from ..helpers.batches import segmentation_batch, step_losses
from ..helpers.models import cwd, distiller, pspnet
from .test_schedule import losses_at

SIZE = dict(input_size=(64, 64))


def scheduled(seg_teacher, **schedule):
    terms = dict(kd=cwd('logits', schedule=schedule))
    return distiller(pspnet(), seg_teacher, terms)


def tell(**infos):
    hub = MessageHub.get_instance('a run')
    for name, value in infos.items():
        hub.update_info(name, value)


def test_epochs_are_not_counted_in_a_run_by_iterations(seg_teacher):
    # What an IterBasedTrainLoop publishes, for all of its run.
    tell(iter=5, epoch=0, max_iters=8, max_epochs=1)
    model = scheduled(seg_teacher, begin=1, by_epoch=True)
    with pytest.raises(
        ValueError,
        match=r"term 'kd': schedule: by_epoch=True in a run of one epoch.*"
        'by_epoch=False',
    ):
        step_losses(model, segmentation_batch())


@pytest.mark.parametrize(
    ('schedule', 'unit'),
    [
        (dict(begin=8), 'iterations'),
        (dict(begin=3, by_epoch=True), 'epochs'),
    ],
)
def test_a_term_that_begins_after_the_run_is_logged(
    seg_teacher, log_lines, schedule, unit
):
    tell(iter=0, epoch=0, max_iters=8, max_epochs=3)
    model = scheduled(seg_teacher, **schedule)
    for _ in range(2):
        step_losses(model, segmentation_batch())
    lines = [line for line in log_lines if 'will not be trained with' in line]
    assert len(lines) == 1
    assert f'begins at {schedule["begin"]}' in lines[0]
    assert unit in lines[0]


def test_a_loss_under_no_grad_does_not_spend_the_first_check(seg_teacher):
    model = scheduled(seg_teacher)
    with torch.no_grad():
        assert step_losses(model, segmentation_batch())['loss_kd'] > 0
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(RuntimeError, match='has no gradient'):
        step_losses(model, segmentation_batch())


def test_the_level_without_gradient_is_named_by_its_own_number(seg_teacher):
    weights = [0.0, 0.0, 1.0, 1.0]
    terms = dict(kd=cwd('backbone', level_weights=weights))
    model = distiller(pspnet(), seg_teacher, terms)
    for parameter in model.backbone.parameters():
        parameter.requires_grad_(False)
    with pytest.raises(RuntimeError, match='student feature 2 of'):
        step_losses(model, segmentation_batch())


def test_a_model_is_given_back_when_it_cannot_be_distilled(seg_teacher):
    student = MODELS.build(pspnet())
    stock = type(student)
    with pytest.raises(ValueError, match='no module matches'):
        DenseDistiller(student, seg_teacher, dict(kd=cwd('nowhere')), **SIZE)
    assert type(student) is stock
    terms = dict(kd=cwd('logits'))
    assert DenseDistiller(student, seg_teacher, terms, **SIZE) is student


def test_connectors_follow_a_model_that_is_handed_over(seg_teacher):
    student = MODELS.build(pspnet()).double()
    terms = dict(kd=cwd('backbone'))
    model = DenseDistiller(student, seg_teacher, terms, **SIZE)
    model.init_weights()
    kinds = {p.dtype for p in model.distill.parameters()}
    assert kinds == {torch.float64}
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    batch = images, segmentation_batch(1)['data_samples']
    with model.distill.recording(*batch, model) as step:
        model.extract_feat(images)
        losses = step.losses()
    assert not step.teacher_features
    assert losses['loss_kd'].dtype == torch.float64


@pytest.mark.parametrize('name', ['keys', 'type', 'forward'])
def test_names_that_torch_keeps_for_itself_are_refused(seg_teacher, name):
    with pytest.raises(ValueError, match=f'terms: {name!r} is an attribute'):
        distiller(pspnet(), seg_teacher, {name: cwd('logits')})
    with pytest.raises(ValueError, match=f'teacher: {name!r} is no name'):
        distiller(pspnet(), {name: seg_teacher}, dict(kd=cwd('logits')))


def test_a_step_with_several_batches_is_refused_while_idle_too(seg_teacher):
    tell(iter=0, epoch=0)
    model = scheduled(seg_teacher, begin=4)
    with pytest.raises(TypeError, match=r'expected images.*got dict'):
        model.loss(dict(weak=torch.zeros(1, 3, 8, 8)), [])


def test_the_log_says_how_the_teacher_sees_images(teacher_of, seg_teacher):
    assert 'own form' not in describe_terms(scheduled(seg_teacher).distill)
    other = teacher_of(
        pspnet,
        **{
            'data_preprocessor.mean': [0.0, 0.0, 0.0],
            'data_preprocessor.std': [255.0, 255.0, 255.0],
            'data_preprocessor.bgr_to_rgb': False,
        },
    )
    assert (
        'teacher sees images in its own form: mean [0.0, 0.0, 0.0], std '
        '[255.0, 255.0, 255.0], channels as loaded, padding 0'
    ) in describe_terms(scheduled(other).distill)


class Stretching(nn.Module):
    """Resizes its table to its own length, as position embeddings are."""

    def __init__(self, length):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(length))
        self.register_load_state_dict_pre_hook(self.resize)

    @staticmethod
    def resize(module, state, prefix, *args):
        table = state[f'{prefix}table']
        state[f'{prefix}table'] = table.repeat(len(module.table) // len(table))


def test_a_module_may_convert_a_tensor_of_another_shape(tmp_path):
    path = str(tmp_path / 'short.pth')
    torch.save(dict(state_dict=dict(table=torch.ones(2))), path)
    model = Stretching(4)
    load_weights(model, path, (), 'teacher')
    assert model.table.tolist() == [1.0] * 4


def test_a_by_epoch_schedule_works_where_epochs_are_counted(seg_teacher):
    terms = dict(
        by_iteration=cwd('logits'),
        by_epoch=cwd('logits', schedule=dict(begin=1, by_epoch=True)),
    )
    model = distiller(pspnet(), seg_teacher, terms)
    tell(max_epochs=3, max_iters=30)
    assert losses_at(model, 0, 0)[1] == 0
    assert losses_at(model, 10, 1)[1] > 0
