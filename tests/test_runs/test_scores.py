"""Scores come from the hosts' evaluators; the student is its host's."""

import numpy as np
import pytest
from mmengine.config import Config

from mmdistill_tools import overlay
from mmdistill_tools.demo import DemoError, export
from mmdistill_tools.runs import scores

from ..helpers.datasets import PALETTE, write_dataset
from ..helpers.models import mask_rcnn, pspnet, save_weights
from ..helpers.runs import run_config

MODELS = dict(mmseg=pspnet, mmdet=mask_rcnn)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp('data'))


@pytest.fixture(params=MODELS)
def case(request, data, tmp_path):
    """Config and checkpoint of a small model with random weights."""
    # Boxes of any score count, so that untrained ones are counted too.
    sure = {'test_cfg.rcnn.score_thr': 0.0} if request.param == 'mmdet' else {}
    model = MODELS[request.param](**sure)
    cfg = Config(run_config(model, data, tmp_path, iters=2, val=True))
    return cfg, save_weights(model, tmp_path / 'weights.pth')


@pytest.mark.filterwarnings('ignore::UserWarning')
def test_scores_of_classes_add_up_to_the_hosts(case):
    cfg, weights = case
    if cfg.default_scope == 'mmdet':
        cfg.val_evaluator.metric = ['bbox', 'segm']
    found = scores.evaluate(cfg, weights)
    key = 'coco/segm_mAP' if cfg.default_scope == 'mmdet' else 'mIoU'
    classes = cfg.val_dataloader.dataset.metainfo.classes
    assert list(found.classes) == list(classes)
    mean = np.nanmean(list(found.classes.values()))
    assert found.scores[key] == pytest.approx(mean, abs=0.1)
    assert 0 <= found.scores[key] <= 100
    assert found.flops > found.parameters > 0


@pytest.mark.filterwarnings('ignore::UserWarning')
def test_predictions_are_of_the_images_that_exist(case):
    cfg, weights = case
    samples, metainfo = scores.predict_images(cfg, weights, [4, 1, 999, -1])
    classes = cfg.val_dataloader.dataset.metainfo.classes
    assert list(metainfo['classes']) == list(classes)
    names = [sample.img_path[-7:] for sample in samples]
    assert names == ['001.jpg', '004.jpg']


@pytest.mark.filterwarnings('ignore::UserWarning')
def test_an_image_is_scored_as_if_it_were_the_only_one(case, tmp_path):
    cfg, weights = case
    key = 'mIoU'
    if cfg.default_scope == 'mmdet':
        key, cfg.val_evaluator.metric = 'coco/segm_mAP', ['segm']
    found = scores.image_scores(cfg, weights, key)
    assert list(found) == [*range(6)]
    some = scores.image_scores(cfg, weights, key, [4, 0])
    assert some == pytest.approx({4: found[4], 0: found[0]})
    alone = write_dataset(tmp_path / 'alone', images=1)
    only = run_config(cfg.model, alone, tmp_path, iters=2, val=True)
    cfg.val_dataloader = only['val_dataloader']
    if cfg.default_scope == 'mmdet':
        cfg.val_evaluator.ann_file = only['val_evaluator']['ann_file']
    expected = scores.evaluate(cfg, weights).scores[key]
    assert found[0] == pytest.approx(expected)
    assert len(set(found.values())) > 1


@pytest.mark.filterwarnings('ignore::UserWarning')
def test_a_detector_that_finds_nothing_has_scores_of_zero(data, tmp_path):
    model = mask_rcnn(**{'test_cfg.rcnn.score_thr': 2.0})
    cfg = Config(run_config(model, data, tmp_path, iters=2, val=True))
    cfg.val_evaluator.metric = ['bbox', 'segm']
    weights = save_weights(model, tmp_path / 'weights.pth')
    found = scores.evaluate(cfg, weights)
    classes = cfg.val_dataloader.dataset.metainfo.classes
    assert found.classes == dict.fromkeys(classes, 0.0)
    assert found.scores['coco/bbox_mAP'] == 0.0
    assert found.scores['coco/segm_mAP'] == 0.0
    image = np.full((64, 64, 3), 9, np.uint8)
    (sample,), _ = scores.predict_images(cfg, weights, [0])
    seen = overlay.paint_prediction(image, sample, PALETTE[1:])
    assert np.array_equal(seen, image)


@pytest.mark.filterwarnings('ignore::UserWarning')
def test_truth_and_prediction_are_painted(case):
    cfg, weights = case
    (sample,), _ = scores.predict_images(cfg, weights, [0])
    image = np.zeros((64, 64, 3), np.uint8)
    palette = PALETTE if cfg.default_scope == 'mmseg' else PALETTE[1:]
    truth = overlay.paint_truth(image, sample, palette)
    guess = overlay.paint_prediction(image, sample, palette)
    assert truth.shape == guess.shape == image.shape
    assert truth.std() > 5
    assert not np.array_equal(truth, guess)


def test_a_student_that_its_host_cannot_use_is_named(
    case, tmp_path, monkeypatch
):
    cfg, weights = case
    code = "raise SystemExit('no such stock model')"
    monkeypatch.setitem(export.SCRIPTS, cfg.default_scope, code)
    script = export.export_student(cfg, weights, tmp_path / 'student')
    with pytest.raises(DemoError, match=r'(?s)could not be used.*no such sto'):
        export.run_student(script, tmp_path / 'image.jpg')
    assert (tmp_path / 'student' / 'student.pth').exists()
