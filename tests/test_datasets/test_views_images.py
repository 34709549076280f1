"""Where unlabelled images come from, and the shipped views of them."""

import json

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.runner import Runner

from tests.helpers.configs import CONFIGS
from tests.helpers.views import dataset, write


def paths(data, root):
    found = [data.get_data_info(i)['img_path'] for i in range(len(data))]
    return [path.removeprefix(f'{root}/') for path in found]


def test_a_plain_folder(tmp_path):
    write(tmp_path, 'b.png', 'a.jpg', '.c.jpg')
    (tmp_path / 'notes.txt').write_text('no image')
    assert paths(dataset(tmp_path), tmp_path) == ['a.jpg', 'b.png']


def test_a_tree_as_imagenet_has_it(tmp_path):
    names = ['train/n02/x_1.JPEG', 'train/n01/x_9.JPEG', 'train/n01/x_2.JPEG']
    write(tmp_path, *names, 'val/n01/y.JPEG', 'train/.cache/z.JPEG')
    assert paths(dataset(tmp_path, images='train'), tmp_path) == sorted(names)


def test_a_linked_tree(tmp_path):
    write(tmp_path, 'disk/n01/a.jpg')
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data' / 'train').symlink_to(tmp_path / 'disk')
    data = dataset(tmp_path / 'data', images='train')
    assert paths(data, tmp_path) == ['data/train/n01/a.jpg']


def test_images_of_a_segmentation_data_set(tmp_path):
    write(tmp_path, 'images/train/a.jpg', 'images/val/b.jpg')
    write(tmp_path, 'labels/train/a.png')
    data = dataset(tmp_path, images='images/train')
    assert paths(data, tmp_path) == ['images/train/a.jpg']


def test_several_folders(tmp_path):
    write(tmp_path, 'two/a.jpg', 'one/b.jpg')
    data = dataset(tmp_path, images=['two', 'one'])
    assert paths(data, tmp_path) == ['two/a.jpg', 'one/b.jpg']


def coco(root, *names):
    listed = [dict(id=i, file_name=name) for i, name in enumerate(names)]
    (root / 'ann.json').write_text(json.dumps(dict(images=listed)))


def test_images_of_an_annotation_file(tmp_path):
    write(tmp_path, 'images/t/b.jpg', 'images/a.jpg', 'images/c.jpg')
    coco(tmp_path, 't/b.jpg', 'a.jpg', 'a.jpg')
    data = dataset(tmp_path, ann_file='ann.json', images='images')
    assert paths(data, tmp_path) == ['images/a.jpg', 'images/t/b.jpg']


@pytest.mark.parametrize('serialize_data', [True, False])
def test_what_a_base_dataset_can_do(tmp_path, serialize_data):
    write(tmp_path, *[f'{i}.png' for i in range(6)])
    settings = dict(serialize_data=serialize_data, lazy_init=True)
    data = dataset(tmp_path, indices=5, metainfo=dict(a=1), **settings)
    assert not data._fully_initialized
    assert len(data) == 5
    assert data.metainfo == dict(a=1)
    part = data.get_subset([3, 1])
    assert paths(part, tmp_path) == ['3.png', '1.png']
    data.get_subset_(2)
    assert len(data) == 2
    for one in (data, part):
        assert one[1]['data_samples'].sample_idx == 1
        assert one[-1]['data_samples'].sample_idx == 1


MISSING = {
    'folder': (dict(images='no'), "folder of images '.*/no' does not exist"),
    'ann_file': (dict(ann_file='no.json'), "file '.*/no.json' does not exist"),
    'images': (
        dict(ann_file='ann.json', images='one'),
        '2 of 3 images that it names are not there: .*/one/b.jpg, .*/one/c',
    ),
}


@pytest.mark.parametrize(
    ('settings', 'message'), MISSING.values(), ids=MISSING
)
def test_what_is_missing_is_named(settings, message, tmp_path):
    write(tmp_path, 'one/a.jpg')
    coco(tmp_path, 'a.jpg', 'b.jpg', 'c.jpg')
    with pytest.raises(FileNotFoundError, match=message):
        dataset(tmp_path, **settings)


REFUSED = {
    'empty': (dict(images='empty'), 'empty.* holds no image at any depth'),
    'several': (
        dict(ann_file='ann.json', images=['a', 'b']),
        r"the one folder .* got \['a', 'b'\]",
    ),
    'no COCO': (dict(ann_file='list.json'), 'no annotation file .* KeyError'),
    'no JSON': (dict(ann_file='a.txt'), 'no annotation file .* JSONDecode'),
    'no image': (dict(ann_file='none.json'), 'names no image'),
    'share': (dict(max_unreadable=2), 'share .* from 0 to 1, got 2'),
    'no share': (dict(max_unreadable='1%'), "from 0 to 1, got '1%'"),
}


@pytest.mark.parametrize(
    ('settings', 'message'), REFUSED.values(), ids=REFUSED
)
def test_refusals(settings, message, tmp_path):
    write(tmp_path, 'a.jpg')
    (tmp_path / 'empty' / 'n01').mkdir(parents=True)
    (tmp_path / 'list.json').write_text('{"data_list": []}')
    (tmp_path / 'none.json').write_text('{"images": []}')
    (tmp_path / 'a.txt').write_text('a.jpg')
    with pytest.raises(ValueError, match=message):
        dataset(tmp_path, **settings)


def two_batches(loader, seed):
    batches = iter(Runner.build_dataloader(loader, seed=seed))
    return [next(batches) for _ in range(2)]


SHIPPED = sorted((CONFIGS / '_base_' / 'datasets').glob('byol_views_*.py'))


@pytest.mark.parametrize('path', SHIPPED, ids=lambda path: path.stem)
def test_shipped_views_depend_on_the_seed_alone(path, tmp_path):
    loader = Config.fromfile(path).train_dataloader
    folder = loader.dataset.images
    write(tmp_path, *[f'{folder}/{i}.jpg' for i in range(12)])
    loader.dataset.data_root = str(tmp_path)
    loader.update(num_workers=2, persistent_workers=True, batch_size=4)
    loader.pop('pin_memory', None)  # warns where there is no GPU
    first, again, other = (two_batches(loader, seed) for seed in (0, 0, 1))
    for batch, same in zip(first, again, strict=True):
        for a, b in zip(batch['inputs'], same['inputs'], strict=True):
            assert a.shape == (4, 3, *batch['data_samples'][0].img_shape)
            assert torch.equal(a, b)
        views = [s.views for s in batch['data_samples']]
        assert views == [s.views for s in same['data_samples']]
    assert not torch.equal(first[0]['inputs'][0], other[0]['inputs'][0])
    assert not torch.equal(*first[0]['inputs'])


def test_both_collates(tmp_path):
    write(tmp_path, 'a.png', 'b.png')
    data = dataset(tmp_path)
    items = [data[0], data[1]]
    stacked, listed = default_collate(items), pseudo_collate(items)
    for view, images in zip(stacked['inputs'], listed['inputs'], strict=True):
        assert torch.equal(view, torch.stack(tuple(images)))
