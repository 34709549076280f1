"""Linear evaluation and fine-tuning of a backbone."""

from copy import deepcopy

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS
from mmengine.runner import Runner, load_checkpoint
from mmengine.structures import BaseDataElement

from ..helpers.class_tree import labelled_dataset, write_class_tree
from ..helpers.configs import CONFIGS, read
from ..helpers.runs import AtStart, differing, snapshot

RESNET = dict(
    type='mmdet.ResNet',
    depth=18,
    base_channels=8,
    num_stages=2,
    strides=(1, 2),
    dilations=(1, 1),
    out_indices=(0, 1),
    norm_eval=False,
)
PREPROCESSOR = dict(
    type='ImgDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
)


def config(frozen=True, num_classes=3, **backbone):
    return dict(
        type='mmdistill_dense.BackboneClassifier',
        data_preprocessor=dict(PREPROCESSOR),
        backbone=RESNET | backbone,
        num_classes=num_classes,
        frozen=frozen,
        input_size=(32, 32),
    )


def classifier(*args, **settings):
    return MODELS.build(config(*args, **settings))


def batch(labels=(0, 2), **meta):
    samples = [
        BaseDataElement(gt_label=torch.tensor([x]), metainfo=meta)
        for x in labels
    ]
    return torch.randn(len(labels), 3, 32, 32), samples


@pytest.fixture(scope='module')
def backbone_file(tmp_path_factory):
    """What ``tools/export_student.py`` writes, of other weights."""
    torch.manual_seed(7)
    backbone = MODELS.build(dict(RESNET))
    backbone.train()
    for _ in range(10):  # statistics of colours, so that none is lost
        backbone(torch.randn(16, 3, 1, 1) + torch.randn(16, 3, 32, 32))
    state = {f'backbone.{k}': v for k, v in backbone.state_dict().items()}
    path = tmp_path_factory.mktemp('weights') / 'backbone.pth'
    torch.save(dict(state_dict=state, meta={}), path)
    return str(path)


def pretrained(path, prefix='backbone.'):
    return dict(type='Pretrained', checkpoint=str(path), prefix=prefix)


def test_losses_and_predictions_by_hand():
    model = classifier().eval()
    inputs, samples = batch()
    pooled = model.backbone(inputs)[-1].mean((2, 3))
    logits = pooled @ model.fc.weight.T + model.fc.bias
    torch.testing.assert_close(model(inputs), logits)
    logged = model(inputs, samples, mode='loss')
    chances = logits.softmax(1)
    want = -(chances[0, 0].log() + chances[1, 2].log()) / 2
    torch.testing.assert_close(logged['loss'], want)
    right = [logits[0].argmax() == 0, logits[1].argmax() == 2]
    assert logged['top1'] == 50 * sum(right)
    predicted = model(inputs, samples, mode='predict')
    assert predicted[1] is samples[1]
    torch.testing.assert_close(predicted[1].pred_scores, chances[1])
    assert len(model(inputs, mode='predict')) == 2
    total, parsed = model.parse_losses(logged)
    assert total == logged['loss']
    assert set(parsed) == {'loss', 'top1'}


def test_the_last_layer_starts_small_and_unbiased():
    torch.manual_seed(0)
    layer = classifier(num_classes=1000).fc
    assert layer.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert not layer.bias.any()


def test_a_frozen_backbone_stays_bit_equal():
    model = classifier()
    model.init_weights()
    before = snapshot(model)
    trained = [n for n, p in model.named_parameters() if p.requires_grad]
    assert trained == ['fc.weight', 'fc.bias']
    optimizer = torch.optim.SGD(model.parameters(), 0.1, weight_decay=0.1)
    model.train()
    assert model.fc.training
    assert not any(m.training for m in model.backbone.modules())
    inputs, samples = batch()
    assert not model.features(inputs).requires_grad
    model(inputs, samples, mode='loss')['loss'].backward()
    optimizer.step()
    changed = differing(before, snapshot(model))
    assert changed == ['fc.bias', 'fc.weight']
    assert not deepcopy(model).train().backbone.training


def test_fine_tuning_trains_everything():
    model = classifier(frozen=False)
    model.init_weights()
    before = snapshot(model)
    inputs, samples = batch()
    model.train()(inputs, samples, mode='loss')['loss'].backward()
    without = [n for n, p in model.named_parameters() if p.grad is None]
    assert without == []
    changed = differing(before, snapshot(model))
    assert 'backbone.bn1.running_mean' in changed
    with torch.no_grad():
        assert not model.features(inputs).requires_grad


@pytest.mark.parametrize('frozen', [True, False])
def test_the_backbones_file_is_loaded_whole(frozen, backbone_file):
    model = classifier(frozen, init_cfg=pretrained(backbone_file))
    model.init_weights()
    state = torch.load(backbone_file, weights_only=True)['state_dict']
    loaded = {
        k: v for k, v in snapshot(model).items() if not k.startswith('fc.')
    }
    assert differing(loaded, state) == []


def test_a_file_of_a_whole_classifier_serves_without_its_head(tmp_path):
    """Of torchvision, say: bare keys, a head, no batch counters."""
    source = MODELS.build(dict(RESNET))
    state = {
        f'module.{k}': v
        for k, v in source.state_dict().items()
        if not k.endswith('num_batches_tracked')
    }
    torch.save(state | {'fc.weight': torch.ones(2, 2)}, tmp_path / 'a.pth')
    init_cfg = [pretrained(tmp_path / 'a.pth', prefix=None)]
    model = classifier(init_cfg=init_cfg)
    model.init_weights()
    assert torch.equal(model.backbone.conv1.weight, source.conv1.weight)
    assert model.fc.weight.shape == (3, 16)


def test_refuses_a_file_that_does_not_cover_the_backbone(backbone_file):
    for prefix in ('student.', None):
        init_cfg = pretrained(backbone_file, prefix)
        model = classifier(init_cfg=init_cfg)
        with pytest.raises(
            ValueError,
            match=r'(?s)ResNet \(\d+ tensors\) .* missing: conv1\.weight; '
            r'.*are like backbone\.conv1.*prefix to',
        ):
            model.init_weights()
    deeper = classifier(depth=34, init_cfg=pretrained(backbone_file))
    with pytest.raises(ValueError, match=r'missing: layer1\.2\.conv1'):
        deeper.init_weights()
    wider = classifier(base_channels=16, init_cfg=pretrained(backbone_file))
    with pytest.raises(ValueError, match=r'another shape: conv1\.\S+ \(8, 3'):
        wider.init_weights()


def test_refuses_a_file_that_is_not_there():
    model = classifier(init_cfg=pretrained('no/backbone.pth'))
    with pytest.raises(
        FileNotFoundError, match=r'backbone\.init_cfg\.checkpoint'
    ):
        model.init_weights()


def test_warns_of_features_that_nothing_trained(log_lines):
    classifier(frozen=False).init_weights()
    assert not any('stay random' in line for line in log_lines)
    classifier().init_weights()
    assert any('features stay random' in line for line in log_lines)


def test_refuses_a_checkpoint_of_something_else(tmp_path, backbone_file):
    model = classifier()
    load_checkpoint(model, backbone_file)  # load_from of an exported backbone
    torch.save(
        dict(state_dict={'neck.conv.weight': torch.ones(1)}),
        f := (tmp_path / 'other.pth'),
    )
    with pytest.raises(ValueError, match=r'no key .*backbone\.'):
        load_checkpoint(model, str(f))


@pytest.mark.parametrize('number', [1, 2.0, '10'])
def test_refuses_a_wrong_number_of_classes(number):
    with pytest.raises(ValueError, match='num_classes must be an integer'):
        classifier(num_classes=number)


def test_refuses_data_of_another_number_of_classes():
    inputs, samples = batch(num_classes=10)
    message = r'data set has 10 classes, num_classes=3. Set model\.num_classes'
    with pytest.raises(ValueError, match=message):
        classifier()(inputs, samples, mode='loss')


def test_refuses_another_mode():
    with pytest.raises(ValueError, match="'predict' or 'tensor', got 'pred'"):
        classifier()(torch.zeros(1, 3, 32, 32), mode='pred')


@pytest.mark.parametrize(
    ('name', 'lr', 'rates'),
    [
        ('linear_r18_8xb128-90e_imagenet', 0.4, {0.4}),
        ('finetune_r18_8xb32-30e_imagenet', 0.1, {0.1, 0.01}),
    ],
)
def test_a_shipped_config_takes_a_step(name, lr, rates, tmp_path):
    cfg = read(CONFIGS / 'pcd' / f'{name}.py')
    weights = cfg.model.backbone.init_cfg
    assert weights.prefix == 'backbone.'
    cfg.model.backbone.update(base_channels=8)
    state = MODELS.build(cfg.model).state_dict()
    weights.checkpoint = str(tmp_path / 'backbone.pth')
    torch.save(dict(state_dict=state), weights.checkpoint)
    model = MODELS.build(cfg.model)
    model.init_weights()
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    assert optimizer.optimizer.defaults['lr'] == lr
    groups = optimizer.optimizer.param_groups
    assert {round(group['lr'], 6) for group in groups} == rates
    before = snapshot(model)
    images, samples = batch(num_classes=1000)
    model.train().train_step(
        dict(inputs=images.byte(), data_samples=samples), optimizer
    )
    changed = differing(before, snapshot(model))
    assert {'fc.bias', 'fc.weight'} <= set(changed)
    assert (len(changed) == 2) == cfg.model.frozen


def run_config(model, root, work_dir, **settings):
    loader = dict(
        batch_size=12,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=True),
    )
    val = loader | dict(dataset=labelled_dataset(root, 'val'))
    return dict(
        model=model,
        work_dir=str(work_dir),
        experiment_name=work_dir.name,
        default_scope='mmdet',
        train_dataloader=dict(
            loader, dataset=labelled_dataset(root, 'train', train=True)
        ),
        val_dataloader=val,
        val_evaluator=dict(type='mmdistill_dense.TopAccuracy', topk=(1, 2)),
        val_cfg=dict(),
        train_cfg=dict(by_epoch=True, max_epochs=10, val_interval=10),
        randomness=dict(seed=0),
        default_hooks=dict(checkpoint=None, logger=None),
        log_level='WARNING',
        **settings,
    )


def test_linear_evaluation_through_the_runner(tmp_path, backbone_file):
    """Features of colours tell the classes apart; nothing else moves."""
    root = write_class_tree(tmp_path / 'data', images=12)
    model = config(init_cfg=pretrained(backbone_file))
    cfg = run_config(
        model,
        root,
        tmp_path / 'run',
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=0.5, momentum=0.9, weight_decay=0.0)
        ),
    )
    run = Runner.from_cfg(Config(cfg))
    start = AtStart()
    run.register_hook(start)
    run.train()
    metrics = run.val_loop.run()
    assert metrics['accuracy/top1'] > 70  # chance: 33
    assert metrics['accuracy/top2'] >= metrics['accuracy/top1']
    changed = differing(start.state, snapshot(run.model))
    assert changed == ['fc.bias', 'fc.weight']
    assert run.train_dataloader.dataset.metainfo['classes'][0] == 'bar'
