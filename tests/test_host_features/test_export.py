"""From any checkpoint of a distillation run to the plain student."""

from copy import deepcopy

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import load_checkpoint

from ..helpers.batches import detection_batch, segmentation_batch
from ..helpers.models import cwd, mask_rcnn, pspnet
from ..helpers.runs import differing, distilled, run_config, runner

EMA = dict(type='EMAHook', momentum=0.3)


def run_of(model, data, folder, **settings):
    """Train two iterations; return the config's path and the checkpoint."""
    cfg = Config(run_config(model, data, folder, iters=2, save=2, **settings))
    cfg.dump(folder / 'run.py')
    runner(model, data, folder, iters=2, save=2, **settings).train()
    return folder / 'run.py', folder / 'iter_2.pth'


@pytest.fixture(scope='module')
def segmentor(seg_teacher):
    return distilled(pspnet(), seg_teacher, dict(kd=cwd('backbone')))


@pytest.fixture(scope='module')
def trained(segmentor, data, tmp_path_factory):
    return run_of(segmentor, data, tmp_path_factory.mktemp('segmentor'))


def built(path, checkpoint):
    cfg = Config.fromfile(path)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(deepcopy(cfg.model)).eval()
    return model, torch.load(checkpoint, weights_only=True)['state_dict']


def predictions(run, checkpoint, out, batch, kind):
    """What the exported and the distilled model say of one batch, paired."""
    student, state = built(out.with_suffix('.py'), out)
    assert type(student).__name__ == kind
    student.load_state_dict(state, strict=True)
    distilled_one, _ = built(run, checkpoint)
    load_checkpoint(distilled_one, str(checkpoint))
    with torch.no_grad():
        exported, stock = (
            model.test_step(deepcopy(batch))
            for model in (student, distilled_one)
        )
    return zip(exported, stock, strict=True)


def test_a_segmentor_predicts_bit_by_bit_what_the_distilled_one_does(
    trained, tmp_path, export
):
    run, checkpoint = trained
    out = tmp_path / 'out' / 'student.pth'
    export(run, checkpoint, out)
    for one, other in predictions(
        run, checkpoint, out, segmentation_batch(), 'EncoderDecoder'
    ):
        assert torch.equal(one.seg_logits.data, other.seg_logits.data)
    # For the hosts' inferencers.
    classes, expected = (
        list(
            torch.load(f, weights_only=True)['meta']['dataset_meta']['classes']
        )
        for f in (out, checkpoint)
    )
    assert classes == expected


def test_a_detector_predicts_bit_by_bit_what_the_distilled_one_does(
    data, det_teacher, tmp_path, export
):
    model = distilled(mask_rcnn(), det_teacher, dict(kd=cwd('neck')))
    run, checkpoint = run_of(model, data, tmp_path)
    out = tmp_path / 'student.pth'
    export(run, checkpoint, out)
    for one, other in predictions(
        run, checkpoint, out, detection_batch(), 'MaskRCNN'
    ):
        assert len(one.pred_instances) > 0
        for key in ('bboxes', 'scores', 'labels', 'masks'):
            assert torch.equal(
                torch.as_tensor(one.pred_instances[key]),
                torch.as_tensor(other.pred_instances[key]),
            )


def test_of_an_ema_run_the_average_is_taken_unless_raw_is_set(
    segmentor, data, tmp_path, export
):
    hooks = [EMA, dict(type='mmdistill_dense.TermBalanceHook')]
    run, checkpoint = run_of(segmentor, data, tmp_path, custom_hooks=hooks)
    export(run, checkpoint, tmp_path / 'mean.pth')
    export(run, checkpoint, tmp_path / 'raw.pth', '--raw')
    content = torch.load(checkpoint, weights_only=True)
    mean = built(tmp_path / 'mean.py', tmp_path / 'mean.pth')[1]
    raw = built(tmp_path / 'raw.py', tmp_path / 'raw.pth')[1]
    key = 'backbone.layer4.1.conv2.weight'
    assert torch.equal(mean[key], content['state_dict'][key])
    assert torch.equal(raw[key], content['ema_state_dict'][f'module.{key}'])
    assert key in differing(mean, raw)
    # Hooks that need this package stay behind.
    cfg = Config.fromfile(tmp_path / 'mean.py')
    assert [hook.type for hook in cfg.custom_hooks] == ['EMAHook']
    assert 'mmdistill_dense' not in (tmp_path / 'mean.py').read_text()


def test_refusals_are_sentences(trained, seg_teacher, tmp_path, export):
    run, checkpoint = trained
    out = tmp_path / 'student.pth'
    with pytest.raises(SystemExit, match=r'must end in \.pth'):
        export(run, checkpoint, tmp_path / 'student')
    with pytest.raises(SystemExit, match="holds no 'ema_state_dict'"):
        export(run, checkpoint, out, '--raw')
    broken = tmp_path / 'broken.pth'
    broken.write_bytes(b'not a checkpoint')
    with pytest.raises(SystemExit, match='cannot be read as a checkpoint'):
        export(run, broken, out)
    copy = tmp_path / 'copy.pth'
    copy.write_bytes(checkpoint.read_bytes())
    with pytest.raises(SystemExit, match='would overwrite what it is made'):
        export(run, copy, copy)
    export(run, checkpoint, out)
    with pytest.raises(SystemExit, match='A stock model needs no export'):
        export(tmp_path / 'student.py', out, tmp_path / 'again.pth')
    with pytest.raises(SystemExit, match="does not fit the config's student"):
        export(run, seg_teacher['checkpoint'], tmp_path / 'other.pth')
