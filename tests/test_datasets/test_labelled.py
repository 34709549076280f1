"""Labelled images: which class has which number, and what is refused."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS
from mmengine.runner import Runner

from mmdistill_dense.datasets.views import LabelledImages, PackLabel
from tests.helpers.class_tree import labelled_dataset, write_class_tree
from tests.helpers.configs import CONFIGS
from tests.helpers.datasets import CLASSES

LOAD = dict(type='LoadImageFromFile')
SHIPPED = CONFIGS / '_base_' / 'datasets' / 'imagenet_classes.py'
RGB = dict(
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
)


@pytest.fixture(scope='module')
def tree(tmp_path_factory):
    return write_class_tree(tmp_path_factory.mktemp('tree'), images=2)


def read(tree, **settings):
    return LabelledImages([LOAD], str(tree), 'train', **settings)


def names_of(data):
    """Label and folder of every image."""
    images = [data.get_data_info(i) for i in range(len(data))]
    return [(i['gt_label'], i['img_path'].split('/')[-2]) for i in images]


def test_classes_are_the_sorted_folders(tree):
    data = read(tree)
    assert data.metainfo['classes'] == ('bar', 'pole', 'square')
    assert names_of(data) == [
        (label, name)
        for label, name in enumerate(sorted(CLASSES))
        for _ in range(2)
    ]


def test_classes_can_be_chosen_and_ordered(tree, tmp_path):
    chosen = [(1, 'bar'), (1, 'bar'), (0, 'square'), (0, 'square')]
    data = read(tree, classes=['square', 'bar'])
    assert names_of(data) == chosen
    assert data.get_data_info(0)['num_classes'] == 2
    file = tmp_path / 'classes.txt'
    file.write_text('square\n\n bar \n', encoding='utf-8')
    data = read(tree, classes=str(file))
    assert names_of(data) == chosen
    assert data.metainfo['classes'] == ('square', 'bar')


def test_images_may_lie_deeper_and_hidden_folders_do_not_count(tmp_path):
    write_class_tree(tmp_path, images=1, splits=['train'])
    (tmp_path / 'train/.cache').mkdir()
    deep = tmp_path / 'train/pole/a/b'
    deep.mkdir(parents=True)
    (tmp_path / 'train/pole/000.jpg').rename(deep / '000.jpg')
    data = LabelledImages([LOAD], str(tmp_path), 'train')
    assert data.metainfo['classes'] == ('bar', 'pole', 'square')
    assert [label for label, _ in names_of(data)] == [0, 1, 2]


def test_an_item_has_image_and_label(tree):
    data = DATASETS.build(labelled_dataset(tree, 'val', size=32))
    item = data[3]
    assert item['inputs'].shape == (3, 32, 32)
    assert item['inputs'].dtype == torch.uint8
    sample = item['data_samples']
    assert sample.gt_label.tolist() == [1]
    assert sample.num_classes == 3
    assert sample.img_path.endswith('val/pole/001.jpg')
    assert sample.ori_shape == (48, 48)
    assert sample.sample_idx == 3


def test_the_shipped_pipelines(tree):
    cfg = Config.fromfile(str(SHIPPED))
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        data = DATASETS.build(dict(loader.dataset, data_root=str(tree)))
        assert data[0]['inputs'].shape == (3, 224, 224)
        assert data.metainfo['classes'] == ('bar', 'pole', 'square')
    wide = dict(img=np.zeros((100, 400, 3), np.uint8))
    resize = data.pipeline.transforms[1]
    assert resize(wide)['img'].shape == (256, 1024, 3)


@pytest.mark.parametrize('split', ['train', 'val'])
def test_the_shipped_batches_are_stacked_by_the_workers(tree, split):
    loader = Config.fromfile(str(SHIPPED))[f'{split}_dataloader']
    assert loader.pin_memory
    loader.dataset.data_root = str(tree)
    loader.update(num_workers=0, persistent_workers=False, batch_size=4)
    loader.pin_memory = False  # warns where there is no GPU
    batch = next(iter(Runner.build_dataloader(loader, seed=0)))
    assert batch['inputs'].shape == (4, 3, 224, 224)
    assert batch['data_samples'][0].num_classes == 3
    prepare = MODELS.build(dict(type='ImgDataPreprocessor', **RGB))
    stacked = prepare(batch)['inputs']
    listed = prepare(dict(batch, inputs=list(batch['inputs'])))['inputs']
    assert torch.equal(stacked, listed)


def test_an_unreadable_image_is_passed_over(tmp_path):
    write_class_tree(tmp_path, images=2, splits=['train'])
    (tmp_path / 'train/bar/000.jpg').write_bytes(b'no image')
    data = LabelledImages([LOAD], str(tmp_path), 'train')
    assert data[0]['img_path'].endswith('bar/001.jpg')
    strict = LabelledImages([LOAD], str(tmp_path), 'train', max_unreadable=0)
    with pytest.raises(RuntimeError, match=r'1 of 6 images .* cannot be read'):
        strict[0]


def test_refuses_images_in_no_class(tree, tmp_path):
    write_class_tree(tmp_path, images=1, splits=['train'])
    for name in ('bar', 'pole'):
        image = tmp_path / 'train' / name / '000.jpg'
        image.rename(tmp_path / 'train' / f'{name}.jpg')
    with pytest.raises(ValueError, match=r'2 images lie directly in .*train'):
        LabelledImages([LOAD], str(tmp_path), 'train')


def test_refuses_a_class_without_images(tree, tmp_path):
    with pytest.raises(ValueError, match=r'1 of 2 classes have no .*: circle'):
        read(tree, classes=['bar', 'circle'])
    write_class_tree(tmp_path, images=1, splits=['train'])
    (tmp_path / 'train' / 'empty').mkdir()
    with pytest.raises(ValueError, match=r'1 of 4 classes .*: empty'):
        LabelledImages([LOAD], str(tmp_path), 'train')


@pytest.mark.parametrize(
    ('settings', 'error', 'message'),
    [
        (dict(images='test'), FileNotFoundError, "test' does not exist"),
        (dict(images=['train', 'val']), ValueError, 'must be one folder'),
        (dict(ann_file='x.json'), ValueError, 'ann_file is not read'),
        (dict(classes=[]), ValueError, 'at least one; got 0'),
        (dict(classes=['bar', 'bar']), ValueError, "than once: .'bar'"),
        (dict(classes='no.txt'), FileNotFoundError, "classes 'no.txt' does"),
    ],
)
def test_refuses(tree, settings, error, message):
    settings = dict(data_root=str(tree), images='train') | settings
    with pytest.raises(error, match=message):
        LabelledImages([LOAD], **settings)


def test_packing_refuses_images_without_a_label():
    with pytest.raises(ValueError, match=r'no gt_label\. Read the'):
        PackLabel()(dict(img=None))
