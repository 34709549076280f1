"""The embedded data set: the same each time, and consistent in itself."""

import json
import sys
from collections import Counter

import cv2
import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.datasets import BaseSegDataset
from pycocotools import mask as rle
from pycocotools.coco import COCO

from mmdistill_dense.compat import own_config
from mmdistill_dense.datasets import outlines, scenes, shapes, textures

SPLITS = dict(train=24, val=6)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'shapes'
    shapes.write_dataset(root, **SPLITS)
    return root


@pytest.fixture
def shapes_root(data, monkeypatch):
    monkeypatch.setenv('SHAPES_ROOT', f'{data}/')


def files(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def annotations(root, split):
    path = root / 'annotations' / f'instances_{split}.json'
    return json.loads(path.read_text())


def labels_of(root, split, index):
    path = root / 'labels' / split / f'{index:04d}.png'
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


@pytest.mark.parametrize('workers', [1, 2])
def test_the_same_seed_gives_the_same_bytes(data, tmp_path, workers):
    shapes.write_dataset(tmp_path, **SPLITS, workers=workers)
    again, first = files(tmp_path), files(data)
    assert len(first) == 2 * sum(SPLITS.values()) + 2
    assert again == first


def test_a_picture_depends_on_its_number_and_not_on_the_count(data, tmp_path):
    shapes.write_dataset(tmp_path, train=3, val=2)
    first, fewer = files(data), files(tmp_path)
    pictures = [name for name in fewer if not name.endswith('.json')]
    assert len(pictures) == 10
    assert all(first[name] == fewer[name] for name in pictures)


def test_another_seed_and_another_split_give_other_pictures(data, tmp_path):
    shapes.write_dataset(tmp_path, seed=1, train=2, val=1)
    name = 'labels/train/0000.png'
    assert files(tmp_path)[name] != files(data)[name]
    assert files(data)['labels/val/0000.png'] != files(data)[name]


@pytest.mark.parametrize('split', SPLITS)
def test_instances_and_labels_agree(data, split):
    coco = annotations(data, split)
    things = {i: np.zeros((96, 128), np.uint8) for i in range(SPLITS[split])}
    owners = {i: np.zeros((96, 128), int) for i in range(SPLITS[split])}
    for note in coco['annotations']:
        mask = rle.decode(note['segmentation']).astype(bool)
        assert note['area'] == mask.sum() >= scenes.SMALLEST
        rows, columns = np.nonzero(mask)
        x, y, w, h = note['bbox']
        assert (x, y) == (columns.min(), rows.min())
        assert (x + w, y + h) == (columns.max() + 1, rows.max() + 1)
        things[note['image_id']][mask] = note['category_id'] + 3
        owners[note['image_id']] += mask
    for index, drawn in things.items():
        labels = labels_of(data, split, index)
        assert owners[index].max() == 1  # no pixel has two
        assert np.array_equal(np.where(labels < 3, 0, labels), drawn)


def test_every_class_is_there(data):
    found = Counter()
    for index in range(SPLITS['train']):
        found.update(np.unique(labels_of(data, 'train', index)).tolist())
    assert sorted(found) == list(range(len(shapes.CLASSES)))
    kinds = annotations(data, 'train')['annotations']
    assert {note['category_id'] for note in kinds} == set(range(8))


def test_things_hide_each_other_and_differ_in_size(data):
    areas = [
        note['area'] for note in annotations(data, 'train')['annotations']
    ]
    assert max(areas) > 10 * min(areas)
    shown = Counter()
    for index in range(SPLITS['train']):
        rng = np.random.default_rng([0, 0, index])
        scene = scenes.draw_scene(rng, 96, 128)
        for kind, mask in scene.instances:
            holes = cv2.connectedComponents(mask.astype(np.uint8))[0] - 1
            shown[kind, holes > 1] += 1
    assert sum(count for (_, split), count in shown.items() if split) > 3


def test_no_colour_tells_a_class(data):
    """The mean colours of a class's things lie all over the place."""
    colours = {}
    for note in annotations(data, 'train')['annotations']:
        image = f'{note["image_id"]:04d}.jpg'
        picture = cv2.imread(str(data / 'images' / 'train' / image))
        mask = rle.decode(note['segmentation']).astype(bool)
        mean = picture[mask].mean(axis=0)
        colours.setdefault(note['category_id'], []).append(mean)
    for means in colours.values():
        assert np.std(means, axis=0).min() > 15


def test_every_thing_has_an_outline_and_a_texture():
    assert set(textures.COVERS) == set(outlines.THINGS)
    filled = [
        outlines.fill(
            64, 64, [30 * part + 32 for part in outlines.outline(kind)]
        ).sum()
        for kind in outlines.THINGS
    ]
    assert min(filled) > 600
    ring, disc = (filled[outlines.THINGS.index(k)] for k in ('ring', 'disc'))
    assert ring == pytest.approx(0.75 * disc, rel=0.05)


def test_segmentation_reads_it(data, shapes_root):
    cfg = Config.fromfile(own_config('demo/pspnet_student_shapes.py'))
    init_default_scope('mmseg')
    settings = cfg.train_dataloader.dataset.copy()
    assert settings.pop('type') == 'BaseSegDataset'
    dataset = BaseSegDataset(**settings)
    assert len(dataset) == SPLITS['train']
    assert dataset.metainfo['classes'] == shapes.CLASSES
    assert len(dataset.metainfo['palette']) == len(shapes.CLASSES)
    sample = dataset[0]
    assert sample['inputs'].shape == (3, *cfg.crop_size)
    assert sample['data_samples'].gt_sem_seg.data.max() < len(shapes.CLASSES)


def test_detection_reads_it(data, shapes_root):
    cfg = Config.fromfile(own_config('demo/mask-rcnn_student_shapes.py'))
    init_default_scope('mmdet')
    settings = cfg.val_dataloader.dataset.copy()
    assert settings.pop('type') == 'CocoDataset'
    dataset = CocoDataset(**settings)
    assert len(dataset) == SPLITS['val']
    assert dataset.metainfo['classes'] == shapes.THINGS
    for index in range(len(dataset)):
        truth = dataset[index]['data_samples'].gt_instances
        labels = labels_of(data, 'val', index)
        for mask, kind in zip(
            truth.masks.to_ndarray(), truth.labels, strict=True
        ):
            assert set(labels[mask.astype(bool)]) == {int(kind) + 3}
    assert COCO(cfg.val_evaluator.ann_file).getCatIds() == list(range(8))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(seed=-1), 'seed must be an integer >= 0, got -1'),
        (dict(train=0), 'train must be an integer >= 1, got 0'),
        (dict(workers=0), 'workers must be an integer >= 1, got 0'),
        (dict(size=(32, 64)), '32x64 .* 48 pixels or more'),
    ],
)
def test_refusals(settings, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        shapes.write_dataset(tmp_path / 'new', **settings)
    assert not (tmp_path / 'new').exists()


def test_command_line(tmp_path, monkeypatch, capsys):
    out = str(tmp_path / 'out')
    counts = ['--train', '2', '--val', '1', '--seed', '3', '--workers', '2']
    argv = ['shapes', out, '--size', '48', '64', *counts]
    monkeypatch.setattr(sys, 'argv', argv)
    shapes.main()
    summary = '2 training and 1 validation images of 48x64'
    assert summary in capsys.readouterr().out
    assert labels_of(tmp_path / 'out', 'train', 1).shape == (48, 64)
    monkeypatch.setattr(sys, 'argv', ['shapes', out])
    with pytest.raises(SystemExit, match=f'^shapes: {out} is not empty'):
        shapes.main()
