"""From a pre-training run to detectors and segmentors that start from it."""

from copy import deepcopy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner

from ..helpers.configs import CONFIGS
from ..helpers.models import shrink
from ..helpers.pretraining import narrow, write_teacher
from ..helpers.runs import differing

RUN = CONFIGS / 'pcd' / 'pcd_mocov3-r50_r18_8xb128-100e_imagenet.py'
DOWNSTREAM = {
    'mask-rcnn_r18-pcd-pre_fpn_ms-1x_coco': 'MaskRCNN',
    'pspnet_r18b-d8-pcd-pre_4xb2-80k_cityscapes-512x1024': 'EncoderDecoder',
}
EMA = dict(type='EMAHook', momentum=0.3)


@pytest.fixture(scope='module')
def run(data, tmp_path_factory):
    """The shipped config on small images: its path and its checkpoint."""
    return pretrain(data, tmp_path_factory.mktemp('run'), [EMA])


def pretrain(data, folder, hooks=()):
    """Pre-train for an epoch of three steps."""
    cfg = Config.fromfile(RUN)
    cfg.model = narrow(cfg.model.to_dict())
    cfg.model.teacher.checkpoint = str(folder / 'teacher.pth')
    cfg.work_dir, cfg.experiment_name = str(folder), folder.name
    cfg.train_cfg.max_epochs = 1
    cfg.default_hooks.checkpoint.interval = 1
    cfg.custom_hooks = list(hooks)
    loader = cfg.train_dataloader
    loader.update(batch_size=2, num_workers=0, persistent_workers=False)
    loader.dataset.update(data_root=str(data), images='images')
    for view in loader.dataset.pipeline[1].transforms:
        view[0].size = 64
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        write_teacher(cfg.model.teacher, folder / 'teacher.pth')
    cfg.dump(folder / 'run.py')
    Runner.from_cfg(cfg).train()
    return folder / 'run.py', folder / 'epoch_1.pth'


def state_of(path, key='state_dict'):
    return torch.load(path, weights_only=True)[key]


def backbone_of(state):
    """Without the prefix, as ``init_cfg`` takes it."""
    return {
        k.removeprefix('backbone.'): v
        for k, v in state.items()
        if k.startswith('backbone.')
    }


def downstream(name, checkpoint):
    """The shipped model, narrow, initialised as its config says."""
    cfg = Config.fromfile(CONFIGS / 'pcd' / f'{name}.py')
    init = dict(cfg.model.backbone.init_cfg, checkpoint=str(checkpoint))
    model = shrink(cfg.model.to_dict())
    model['backbone']['init_cfg'] = init
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        built = MODELS.build(Config(dict(model=model)).model)
    built.init_weights()
    return built


@pytest.fixture
def exported(run, tmp_path, export):
    out = tmp_path / 'out' / 'backbone.pth'
    export(*run, out)
    return out


def test_the_file_holds_the_students_backbone_alone(run, exported):
    content = torch.load(exported, weights_only=True)
    trained = state_of(run[1])
    assert content['meta']['epoch'] == 1
    assert all(key.startswith('backbone.') for key in content['state_dict'])
    assert not differing(
        backbone_of(content['state_dict']), backbone_of(trained)
    )
    # What is dropped was there.
    parts = {key.partition('.')[0] for key in trained}
    assert parts == {'backbone', 'attention', 'head', 'queue'}


@pytest.mark.parametrize('name', DOWNSTREAM)
@pytest.mark.parametrize('source', ['exported', 'training'])
def test_downstream_models_start_from_exactly_it(name, source, run, exported):
    path = exported if source == 'exported' else run[1]
    model = downstream(name, path)
    assert type(model).__name__ == DOWNSTREAM[name]
    expected = backbone_of(state_of(path))
    assert expected
    assert not differing(expected, model.backbone.state_dict())


def test_the_config_beside_it_builds_the_trained_backbone(exported):
    cfg = Config.fromfile(exported.with_suffix('.py'))
    backbone = MODELS.build(cfg.model.backbone)
    backbone.init_weights()
    assert not differing(
        backbone_of(state_of(exported)), backbone.state_dict()
    )


def test_it_says_how_to_start_from_it(run, tmp_path, export, capsys):
    export(*run, tmp_path / 'backbone.pth')
    output = capsys.readouterr().out
    assert output.startswith('ResNet with ')
    init = f"type='Pretrained', checkpoint='{tmp_path}/backbone.pth', "
    assert f"init_cfg=dict({init}prefix='backbone.')" in output


def test_of_an_ema_run_the_average_is_taken_unless_raw_is_set(
    run, exported, tmp_path, export
):
    export(*run, tmp_path / 'raw.pth', '--raw')
    source = state_of(run[1], 'ema_state_dict')
    trained = backbone_of(
        {k.removeprefix('module.'): v for k, v in source.items()}
    )
    raw = backbone_of(state_of(tmp_path / 'raw.pth'))
    assert not differing(raw, trained)
    assert differing(raw, backbone_of(state_of(exported)))


@pytest.mark.parametrize(
    ('kind', 'students'),
    [
        (
            dict(type='mmdet.ResNet', depth=18),
            [
                dict(type='mmdet.ResNet', depth=18),
                dict(type='mmseg.ResNet', depth=18, dilations=(1, 1, 2, 4)),
            ],
        ),
        (
            dict(type='mmdistill_dense.MobileNetV3'),
            [
                dict(type='mmdistill_dense.MobileNetV3'),
                dict(type='mmseg.MobileNetV3', arch='large'),
            ],
        ),
    ],
    ids=['resnet', 'mobilenet'],
)
def test_full_size_backbones_load_without_missing_or_unexpected_keys(
    kind, students, tmp_path, export
):
    model = dict(type='mmdistill_dense.PixelContrastDistiller', backbone=kind)
    Config(dict(default_scope='mmdet', model=model)).dump(tmp_path / 'run.py')
    state = MODELS.build(deepcopy(kind)).state_dict(prefix='backbone.')
    torch.save(dict(meta={}, state_dict=state), tmp_path / 'epoch_1.pth')
    export(tmp_path / 'run.py', tmp_path / 'epoch_1.pth', tmp_path / 'out.pth')
    weights = backbone_of(state_of(tmp_path / 'out.pth'))
    for student in students:
        found = MODELS.build(student).load_state_dict(weights, strict=False)
        assert found.missing_keys == found.unexpected_keys == []


def test_a_file_or_prefix_that_is_not_there_stops_mmengine(exported):
    backbone = dict(type='mmdet.ResNet', depth=18)
    for checkpoint, prefix, error, match in (
        ('nowhere.pth', 'backbone.', FileNotFoundError, 'nowhere.pth'),
        (str(exported), 'student.', AssertionError, 'student. is not in'),
    ):
        init = dict(type='Pretrained', checkpoint=checkpoint, prefix=prefix)
        with pytest.raises(error, match=match):
            MODELS.build(dict(backbone, init_cfg=init)).init_weights()


def test_refusals_are_sentences(run, exported, tmp_path, export):
    config, checkpoint = run
    out = tmp_path / 'other.pth'
    with pytest.raises(SystemExit, match='--onnx is for segmentors'):
        export(config, checkpoint, out, '--onnx')
    with pytest.raises(SystemExit, match='would overwrite what it is made'):
        export(config, checkpoint, checkpoint)
    for parts, match in (
        (['roi_head', 'backbone'], 'got keys below backbone, roi_head'),
        (['head'], 'is no checkpoint of a pre-training run'),
    ):
        state = {f'{part}.weight': torch.zeros(2) for part in parts}
        torch.save(dict(state_dict=state), tmp_path / 'foreign.pth')
        with pytest.raises(SystemExit, match=match):
            export(config, tmp_path / 'foreign.pth', out)
    deeper = Config.fromfile(config)
    deeper.model.backbone.depth = 34
    deeper.dump(tmp_path / 'deeper.py')
    with pytest.raises(SystemExit, match="fit the config's backbone"):
        export(tmp_path / 'deeper.py', checkpoint, out)
    assert not out.exists()
