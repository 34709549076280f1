"""The hosts' own ways to predict, on exported and distillation configs."""

import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmengine.config import Config
from mmengine.registry import MODELS
from mmseg.apis import MMSegInferencer, inference_model, init_model

from mmdistill_dense.export import student as export

from ..helpers.models import cwd, mask_rcnn, pspnet
from ..helpers.runs import distilled, run_config, runner, validation


@pytest.fixture(scope='module')
def runs(data, det_teacher, seg_teacher, tmp_path_factory):
    """Config and checkpoint of each host, distilled and exported."""
    models = dict(
        mmdet=distilled(mask_rcnn(), det_teacher, dict(kd=cwd('neck'))),
        mmseg=distilled(pspnet(), seg_teacher, dict(kd=cwd('backbone'))),
    )
    return {
        scope: _run(model, scope, data, tmp_path_factory.mktemp(scope))
        for scope, model in models.items()
    }


def _run(model, scope, data, folder):
    settings = dict(
        iters=1,
        save=1,
        visualizer=dict(
            type=f'{scope[2:].capitalize()}LocalVisualizer',
            vis_backends=[dict(type='LocalVisBackend')],
        ),
        **validation(scope, data, 'test'),
    )
    cfg = Config(run_config(model, data, folder, **settings))
    cfg.test_pipeline = cfg.test_dataloader.dataset.pipeline
    runner(model, data, folder, **settings).train()
    cfg.dump(folder / 'distilled.py')
    export.student_config(cfg).dump(folder / 'student.py')
    checkpoint = str(folder / 'iter_1.pth')
    student = str(folder / 'student.pth')
    torch.save(export.student_checkpoint(checkpoint), student)
    return dict(
        distilled=(str(folder / 'distilled.py'), checkpoint),
        exported=(str(folder / 'student.py'), student),
    )


@pytest.fixture
def image(data):
    return str(next(path for path in (data / 'images').iterdir()))


@pytest.mark.parametrize('kind', ['exported', 'distilled'])
def test_mmsegs_init_model_takes_both_configs(kind, runs, image):
    model = init_model(*runs['mmseg'][kind], device='cpu')
    found = inference_model(model, image).pred_sem_seg.data
    assert found.shape == (1, 64, 64)
    assert model.dataset_meta['classes'][0] == 'ground'


def test_mmdets_init_detector_takes_the_exported_config(runs, image):
    model = init_detector(*runs['mmdet']['exported'], device='cpu')
    found = inference_detector(model, image)
    assert type(model).__name__ == 'MaskRCNN'
    assert len(found.pred_instances) > 0


def test_init_detector_takes_a_distillation_config_with_options(runs, image):
    config, checkpoint = runs['mmdet']['distilled']
    model = init_detector(config, checkpoint, device='cpu', cfg_options={})
    assert len(inference_detector(model, image).pred_instances) > 0


@pytest.mark.parametrize('kind', ['exported', 'distilled'])
def test_detinferencer_takes_both_configs(kind, runs, image):
    infer = DetInferencer(*runs['mmdet'][kind], device='cpu')
    found = infer(image, print_result=False)['predictions'][0]
    assert len(found['scores']) == len(found['masks']) > 0


@pytest.mark.parametrize('kind', ['exported', 'distilled'])
def test_mmseginferencer_takes_both_configs(kind, runs, image):
    infer = MMSegInferencer(*runs['mmseg'][kind], device='cpu')
    assert infer(image)['predictions'].shape == (64, 64)


@pytest.mark.parametrize('key', ['pretrained', 'train_cfg'])
def test_what_init_model_writes_is_not_for_users(key, seg_teacher):
    cfg = distilled(pspnet(), seg_teacher, dict(kd=cwd('backbone')))
    cfg[key] = dict(a=1)
    with pytest.raises(
        ValueError, match=rf'write it as model\.student\.{key}'
    ):
        MODELS.build(cfg)
