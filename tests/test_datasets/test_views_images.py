"""Where unlabelled images come from, and what happens to unreadable ones."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmdistill_dense.datasets.views import UnlabelledImages
from mmdistill_dense.datasets.views.unreadable import UnreadableImages
from tests.helpers.configs import CONFIGS

OWN = 'mmdistill_dense.'
CROP = dict(type=OWN + 'RandomResizedCrop', size=16)
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type=OWN + 'MultiView', transforms=[[CROP], [CROP]]),
    dict(type=OWN + 'PackViews'),
]


def write(root, *names):
    rng = np.random.default_rng(0)
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = rng.integers(0, 256, (20, 24, 3), np.uint8)
        cv2.imwrite(str(path), picture)


def dataset(root, **settings):
    settings = dict(pipeline=PIPELINE, data_root=str(root), **settings)
    return DATASETS.build(dict(type=OWN + 'UnlabelledImages', **settings))


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
    'empty': (dict(images='empty'), 'empty.* holds no image, at no depth'),
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


BROKEN = (3, 4, 19)


@pytest.fixture
def partly_broken(tmp_path):
    """20 images, of which one is cut, one is none and one is empty."""
    write(tmp_path, *[f'{i:02d}.jpg' for i in range(20)])
    cut, other, empty = (tmp_path / f'{i:02d}.jpg' for i in BROKEN)
    cut.write_bytes(cut.read_bytes()[:400])
    other.write_text('this is no image')
    empty.write_bytes(b'')
    return tmp_path


LOADERS = [
    dict(num_workers=0),
    dict(num_workers=2, multiprocessing_context='fork'),
    # Each worker imports everything anew.
    pytest.param(
        dict(num_workers=2, multiprocessing_context='spawn'),
        marks=pytest.mark.slow,
    ),
]
every_loader = pytest.mark.parametrize(
    'loader', LOADERS, ids=['here', 'fork', 'spawn']
)


def read_all(data, **loader):
    """Numbers of the images that a loader gave, in order."""
    batches = DataLoader(
        data, batch_size=4, collate_fn=pseudo_collate, **loader
    )
    return [s.sample_idx for batch in batches for s in batch['data_samples']]


@every_loader
def test_the_next_image_takes_the_place_of_an_unreadable_one(
    partly_broken, loader
):
    data = dataset(partly_broken, max_unreadable=0.15)
    expected = [*range(3), 5, 5, *range(5, 19), 0]
    assert read_all(data, **loader) == expected
    assert data.unreadable.indices == list(BROKEN)
    assert read_all(data, **loader) == expected  # a second epoch


@every_loader
def test_too_many_unreadable_images_stop_the_run(partly_broken, loader):
    data = dataset(partly_broken, max_unreadable=0.1)
    message = (
        r'3 of 20 images \(15.0%\) cannot be read, and max_unreadable=0.1 '
        r'allows 2: .*/03.jpg, .*/04.jpg, .*/19.jpg\. .* raise max_unreadable'
    )
    with pytest.raises(RuntimeError, match=message):
        read_all(data, **loader)


def test_each_is_logged_once(partly_broken, log_lines):
    data = dataset(partly_broken, max_unreadable=0.5)
    read_all(data)
    read_all(data)
    lines = [line for line in log_lines if 'Unreadable' in line]
    assert len(lines) == 3
    for number, (line, index) in enumerate(zip(lines, BROKEN, strict=True), 1):
        assert f'{index:02d}.jpg is skipped (' in line
        assert line.endswith(f'{number} of 20 so far.')
        assert '\n' not in line
    assert 'failed to load image' in lines[1]


def test_a_file_that_went_away_is_unreadable(tmp_path):
    write(tmp_path, 'a.png', 'b.png', 'c.png')
    data = dataset(tmp_path)
    (tmp_path / 'a.png').unlink()
    assert read_all(data) == [1, 1, 2]


@pytest.mark.parametrize(
    ('share', 'count', 'allowed'),
    [(0, 100, 0), (0.01, 18, 1), (0.01, 1000, 10), (1.0, 5, 5)],
)
def test_how_many_are_allowed(share, count, allowed):
    assert UnreadableImages(count, share).allowed == allowed


def test_none_is_allowed_with_a_share_of_0(partly_broken):
    data = dataset(partly_broken, max_unreadable=0)
    with pytest.raises(RuntimeError, match=r'1 of 20 .* allows 0: .*03.jpg\.'):
        read_all(data)


def test_no_readable_image_at_all_ends(tmp_path):
    for name in ('a.jpg', 'b.jpg'):
        (tmp_path / name).write_bytes(b'')
    data = dataset(tmp_path, max_unreadable=1.0)
    message = r'2 of 2 images \(100.0%\) cannot be read'
    for _ in range(2):
        with pytest.raises(RuntimeError, match=message):
            data[0]


def test_a_mistake_in_a_transform_is_no_unreadable_image(tmp_path):
    write(tmp_path, 'a.png')

    def fail(results):
        raise KeyError('mine')

    data = UnlabelledImages([PIPELINE[0], fail], data_root=str(tmp_path))
    with pytest.raises(KeyError, match='mine'):
        data[0]
    assert len(data.unreadable) == 0


def test_a_copy_counts_for_itself(partly_broken):
    data = dataset(partly_broken, max_unreadable=0.5)
    part = data.get_subset(10)
    read_all(part, num_workers=2)
    assert part.unreadable.indices == [3, 4]
    assert data.unreadable.indices == []


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
