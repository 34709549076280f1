"""Batches that are drawn, and the models that are made ready for them."""

import pytest
import torch

from mmdistill_tools.benchmark.arguments import parse
from mmdistill_tools.benchmark.batches import MEAN_INSTANCES, draw_batch
from mmdistill_tools.benchmark.models import prepare
from mmdistill_tools.benchmark.pairs import PAIRS


def test_a_detector_gets_boxes_masks_and_labels():
    batch = draw_batch('mmdet', 5, 3, (96, 160), seed=0)
    assert [tuple(x.shape) for x in batch['inputs']] == [(3, 96, 160)] * 3
    for sample in batch['data_samples']:
        found = sample.gt_instances
        assert abs(len(found) - MEAN_INSTANCES) <= 3
        assert len(found.labels) == len(found.masks) == len(found)
        assert 0 <= found.labels.min() <= found.labels.max() < 5
        boxes = found.bboxes.tensor  # of mmdet's own class until then
        for box, mask in zip(boxes, found.masks.masks, strict=True):
            area = (box[2:] - box[:2]).prod()
            x, y = mask.any(0).nonzero()[0], mask.any(1).nonzero()[0]
            assert box[0] - 2 <= x[0] <= box[2]
            assert box[1] - 2 <= y[0] <= box[3]
            # An ellipse fills pi / 4 of its box, its polygon less.
            assert 0.5 < mask.sum() / area < 0.95


def test_a_segmentor_gets_regions():
    (sample, _) = draw_batch('mmseg', 4, 2, (64, 96), seed=0)['data_samples']
    labels = sample.gt_sem_seg.data
    assert labels.shape == (1, 64, 96)
    assert set(labels.unique().tolist()) == {*range(4), 255}
    assert (labels[:, ::16, ::16] == labels[:, 15::16, 15::16]).all()


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
def test_a_seed_determines_all_of_it(scope):
    one, same, other = (
        draw_batch(scope, 5, 1, (64, 64), seed) for seed in (1, 1, 2)
    )
    assert one['inputs'][0].equal(same['inputs'][0])
    assert not one['inputs'][0].equal(other['inputs'][0])


@pytest.mark.parametrize('name', PAIRS)
def test_everyone_starts_with_the_same_weights(name, tmp_path):
    setup = prepare(name, parse('', ['step', '--quick']), tmp_path)
    assert setup.optimizer['lr'] == 0
    assert 'Pretrained' not in str(setup.model)
    assert 'SyncBN' not in str(setup.model)
    distilled, stock = setup.distilled({}), setup.stock_student()
    weights = stock.state_dict()
    for key, value in distilled.state_dict().items():
        assert value.equal(weights[key])
    distilled.distill.load_teachers_and_losses(next(distilled.parameters()))
    (teacher,) = distilled.distill.teachers.values()
    expected = setup.stock_teacher().state_dict()
    held = dict(teacher.model.named_buffers())
    assert all(held[key].equal(value) for key, value in expected.items())
    images = setup.data['inputs']
    count, size = PAIRS[name].sizes['quick']
    assert tuple(images.shape) == (count, 3, *size)
    assert images.dtype == torch.float32
