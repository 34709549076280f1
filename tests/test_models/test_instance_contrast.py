"""InstanceContrast: its loss, what it trains, and whom it prepares."""

from copy import deepcopy

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch.nn.functional import normalize

from mmdistill_dense.models.pcd.projection_teacher import ProjectionTeacher

from ..helpers.batches import step_losses, total
from ..helpers.contrast import PREPROCESSOR, TEACHER, WIDTHS, build
from ..helpers.pretraining import SIZE, views_batch
from ..helpers.runs import differing, snapshot

BATCH = views_batch(4)


def learner(**settings):
    cfg = dict(
        type='mmdistill_dense.InstanceContrast',
        data_preprocessor=PREPROCESSOR,
        backbone=TEACHER,
        head=dict(widths=WIDTHS),
        input_size=SIZE,
    )
    return build(deepcopy(cfg | settings))


def test_the_loss_by_hand():
    model = learner(tau=0.5)
    views = model.data_preprocessor(BATCH, True)['inputs']
    vectors = [model.head(model.backbone(v)[-1].mean((2, 3))) for v in views]
    one, two = (normalize(v, dim=1) for v in vectors)
    value = 0
    for first, second in ((one, two), (two, one)):
        for i in range(4):
            cosines = (second @ first[i]) / 0.5
            value += (cosines.logsumexp(0) - cosines[i]) / 8
    losses = step_losses(model, BATCH)
    torch.testing.assert_close(losses['loss_contrast'], value)
    found = [int((two @ one[i]).argmax() == i) for i in range(4)]
    assert losses['top1'].item() == sum(found) / 4
    assert [key for key in losses if 'loss' in key] == ['loss_contrast']


def test_every_parameter_learns():
    model = learner()
    total(model, step_losses(model, BATCH)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize('frozen', [True, False])
def test_it_learns_to_tell_images_apart(frozen):
    model = learner(frozen=frozen)
    before = snapshot(model.backbone)
    parameters = [p for p in model.parameters() if p.requires_grad]
    wrapper = OptimWrapper(torch.optim.Adam(parameters, lr=0.005))
    rng = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 60, BATCH['inputs'][0].shape, generator=rng)
    batch = views_batch(4)
    batch['inputs'][1] = (batch['inputs'][0] // 2 + noise).byte()
    model.train()
    losses = [
        model.train_step(batch, wrapper)['loss_contrast'] for _ in range(20)
    ]
    assert losses[-1] < 0.8 * losses[0]
    # Weights and statistics alike.
    assert (differing(before, snapshot(model.backbone)) == []) == frozen
    assert len(parameters) == (4 if frozen else len([*model.parameters()]))


def test_a_frozen_backbone_is_so_from_the_start():
    model = learner(frozen=True)
    assert model.training
    assert model.head.training
    assert not any(m.training for m in model.backbone.modules())
    assert learner().backbone.training


@pytest.mark.parametrize(
    'head',
    [
        dict(widths=WIDTHS),
        [
            dict(type='Linear', in_features=64, out_features=24),
            dict(type='BatchNorm1d', num_features=24),
            dict(type='ReLU'),
            dict(type='Linear', in_features=24, out_features=16),
        ],
    ],
)
def test_its_checkpoint_is_a_teacher(tmp_path, head):
    model = learner(head=head)
    step_losses(model, BATCH)  # statistics that are not those of the start
    path = str(tmp_path / 'iter_1.pth')
    torch.save(dict(state_dict=model.state_dict()), path)
    teacher = ProjectionTeacher(
        TEACHER, checkpoint=path, head=head, input_size=SIZE
    )
    teacher.load(torch.zeros(1))
    model.eval()
    images = model.data_preprocessor(BATCH)['inputs'][0]
    with torch.no_grad():
        expected = model(images)
    pooled = teacher.maps(images).mean((2, 3))
    torch.testing.assert_close(pooled, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('frozen', [True, False])
def test_a_hole_in_the_backbones_file_is_refused(tmp_path, frozen):
    path = str(tmp_path / 'backbone.pth')
    state = learner().backbone.state_dict()
    del state['layer2.0.conv1.weight']
    torch.save(state, path)
    init_cfg = dict(type='Pretrained', checkpoint=path)
    with pytest.raises(ValueError, match=r'1 missing: layer2\.0\.conv1\.wei'):
        learner(backbone=dict(TEACHER, init_cfg=init_cfg), frozen=frozen)


def test_warns_of_a_frozen_backbone_that_nothing_trained(log_lines):
    learner()
    assert not any('stay random' in line for line in log_lines)
    learner(frozen=True)
    warnings = [line for line in log_lines if 'features stay random' in line]
    assert len(warnings) == 1
    assert 'InstanceContrast: the backbone is frozen' in warnings[0]


def test_a_checkpoint_of_something_else_is_refused():
    with pytest.raises(
        ValueError, match=r'"backbone\.", so .*\[.neck\.x.*an? InstanceContr'
    ):
        learner().load_state_dict({'neck.x': torch.zeros(1)}, strict=False)


def test_under_autocast():
    model = learner()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        losses = step_losses(model, BATCH)
    assert losses['loss_contrast'].dtype == torch.float32


def test_modes_and_batches_that_are_not_its_own_are_refused():
    model = learner()
    image = torch.zeros(2, 3, *SIZE)
    assert model(image).shape == (2, 16)
    with pytest.raises(ValueError, match="no mode 'predict': it only prepare"):
        model(image, mode='predict')
    with pytest.raises(TypeError, match='two views of one shape'):
        model(image, mode='loss')


@pytest.mark.parametrize(
    ('settings', 'match'),
    [
        (dict(tau=0), 'InstanceContrast: tau must be'),
        (dict(head=dict(width=3)), r"unknown settings \['width'\]"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, match):
    with pytest.raises(ValueError, match=match):
        learner(**settings)
