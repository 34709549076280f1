"""The converter of the SegNet tutorial's CamVid."""

import sys

import cv2
import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from pycocotools.coco import COCO

from mmdistill_dense.datasets.camvid import convert, main


@pytest.fixture
def camvid(tmp_path):
    """Two splits of one picture: two cars, a far one, a sign, void."""
    label = np.full((360, 480), 3, np.uint8)
    label[:60] = 11
    label[150:210, 30:120] = 8
    label[150:210, 300:360] = 8
    label[300:303, 300:303] = 8  # 4 pixels in the end: no instance
    label[90:120, 450:465] = 6
    for split in ('train', 'val'):
        for folder in (split, f'{split}annot'):
            (tmp_path / 'camvid' / folder).mkdir(parents=True)
        picture = np.repeat(label[..., None] * 20, 3, 2)
        name = f'{split}_001.png'
        cv2.imwrite(str(tmp_path / 'camvid' / split / name), picture)
        annot = tmp_path / 'camvid' / f'{split}annot' / name
        cv2.imwrite(str(annot), label)
    return tmp_path / 'camvid'


def test_labels_are_halved_and_void_becomes_255(camvid, tmp_path):
    assert convert(camvid, tmp_path / 'out') == dict(train=1, val=1)
    path = tmp_path / 'out' / 'labels' / 'val' / 'val_001.png'
    label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert label.shape == (240, 320)
    assert set(np.unique(label)) == {3, 6, 8, 255}
    assert (label[:40] == 255).all()
    image = cv2.imread(str(tmp_path / 'out/images/val/val_001.jpg'))
    assert image.shape == (240, 320, 3)


def test_instances_are_connected_components(camvid, tmp_path):
    convert(camvid, tmp_path / 'out')
    path = tmp_path / 'out' / 'annotations' / 'instances_train.json'
    coco = COCO(str(path))
    found = [
        (coco.cats[a['category_id']]['name'], a['bbox'], a['area'])
        for a in coco.anns.values()
    ]
    assert found == [
        ('car', [20, 100, 60, 40], 2400),
        ('car', [200, 100, 40, 40], 1600),
        ('sign', [300, 60, 10, 20], 200),
    ]
    label = cv2.imread(str(tmp_path / 'out/labels/train/train_001.png'), -1)
    assert (label[coco.annToMask(coco.anns[1]) > 0] == 8).all()


def test_mmdet_reads_it(camvid, tmp_path):
    convert(camvid, tmp_path / 'out')
    dataset = CocoDataset(
        data_root=str(tmp_path / 'out'),
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='images/'),
        metainfo=dict(classes=('car', 'pedestrian', 'bicyclist', 'sign')),
        pipeline=[],
    )
    labels = [i['bbox_label'] for i in dataset.get_data_info(0)['instances']]
    assert labels == [0, 0, 3]


def test_refusals_are_sentences(camvid, tmp_path):
    with pytest.raises(ValueError, match=r'is no CamVid of the SegNet tuto'):
        convert(tmp_path, tmp_path / 'out')
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'file').touch()
    with pytest.raises(ValueError, match='is not empty: name a new folder'):
        convert(camvid, tmp_path / 'full')
    annot = camvid / 'trainannot' / 'train_001.png'
    cv2.imwrite(str(annot), np.full((360, 480), 12, np.uint8))
    with pytest.raises(ValueError, match='is no label map of 0-11'):
        convert(camvid, tmp_path / 'other')
    assert not (tmp_path / 'other').exists()
    annot.write_bytes(b'')
    with pytest.raises(ValueError, match='is missing or no picture'):
        convert(camvid, tmp_path / 'third')


def test_the_command_line(camvid, tmp_path, monkeypatch, capsys):
    out = tmp_path / 'out'
    monkeypatch.setattr(sys, 'argv', ['camvid', str(camvid), str(out)])
    main()
    assert "{'train': 1, 'val': 1}" in capsys.readouterr().out
    assert len(list((out / 'annotations').iterdir())) == 2
    with pytest.raises(SystemExit, match=r'camvid: .* is not empty'):
        main()
