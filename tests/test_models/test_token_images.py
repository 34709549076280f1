"""From configs and files to what a picture of tokens is made of."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from mmdistill_dense.models.maskd import token_images
from mmdistill_tools import token_learners

from ..helpers.datasets import detection_dataset, segmentation_dataset
from ..helpers.datasets import write_dataset as write_data

LEARNER = 'mmdistill_dense.MaskTokenLearner'
FORMS = dict(mmdet=detection_dataset, mmseg=segmentation_dataset)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp('data') / 'shapes', images=2)


def stage_two(token_cfg, teachers, **term):
    """A config of stage 2; nothing of it is built."""
    terms = dict(maskd=dict(at='neck', loss=dict(tokens='t.pth'), **term))
    model = dict(type='DenseDistiller', teacher=teachers, terms=terms)
    return Config(dict(model=model, token_cfg=token_cfg))


def stage_one_file(folder, kind=LEARNER):
    path = folder / 'tokens.py'
    teacher = dict(cfg='old.py', checkpoint='old.pth', cfg_options=dict(a=1))
    model = dict(type=kind, teacher=teacher, at='neck')
    Config(dict(model=model)).dump(path)
    return str(path)


def test_a_stage_1_config_is_taken_as_it_is():
    cfg = Config(dict(model=dict(type=LEARNER)))
    assert token_learners.stage_one(cfg) is cfg


def test_the_stage_1_of_a_stage_2_gets_its_teacher(tmp_path):
    teacher = dict(cfg='new.py', checkpoint='new.pth')
    cfg = stage_two(stage_one_file(tmp_path), teacher)
    stage = token_learners.stage_one(cfg)
    assert stage.model.at == 'neck'
    assert stage.model.teacher.to_dict() == teacher


def test_of_several_teachers_it_is_that_of_the_tokens(tmp_path):
    teachers = dict(a=dict(cfg='a.py'), b=dict(cfg='b.py'))
    cfg = stage_two(stage_one_file(tmp_path), teachers, teacher='b')
    stage = token_learners.stage_one(cfg)
    assert stage.model.teacher.to_dict() == dict(cfg='b.py')


def test_a_config_of_neither_stage_is_refused(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"MaskTokenLearner'.*token_cfg; got one with "
        r"model\.type='FCOS' and no token_cfg",
    ):
        token_learners.stage_one(Config(dict(model=dict(type='FCOS'))))
    path = stage_one_file(tmp_path, 'FCOS')
    with pytest.raises(ValueError, match=r"must be a config .*got 'FCOS'"):
        token_learners.stage_one(stage_two(path, dict(cfg='new.py')))
    with pytest.raises(FileNotFoundError, match=r"'gone\.py' does not exist"):
        token_learners.stage_one(stage_two('gone.py', dict(cfg='new.py')))


@pytest.mark.parametrize('scope', FORMS)
@pytest.mark.parametrize('wrapped', [False, True])
def test_an_image_is_read_as_the_test_data_set_does(scope, wrapped, data):
    form = FORMS[scope](data, train=False)
    dataset = dict(type='ConcatDataset', datasets=[form]) if wrapped else form
    cfg = Config(
        dict(default_scope=scope, val_dataloader=dict(dataset=dataset))
    )
    with DefaultScope.overwrite_default_scope(scope):
        item = DATASETS.build(form)[1]
    path = item['data_samples'].img_path
    pipeline = token_images.test_pipeline(cfg)
    packed = token_images.read_image(pipeline, path)
    assert torch.equal(packed['inputs'], item['inputs'])
    sample = packed['data_samples']
    assert sample.img_path == path
    assert sample.img_shape == item['data_samples'].img_shape
    assert 'gt_sem_seg' not in sample
    assert not len(sample.get('gt_instances', []))


def test_a_config_without_data_is_refused():
    with pytest.raises(ValueError, match='neither test_dataloader nor'):
        token_images.test_pipeline(Config(dict(val_dataloader=None)))


def test_what_is_no_image_is_refused(data, tmp_path):
    form = segmentation_dataset(data, train=False)
    pipeline = token_images.test_pipeline(
        Config(dict(default_scope='mmseg', test_dataloader=dict(dataset=form)))
    )
    path = tmp_path / 'notes.jpg'
    for content in ('', 'Not a picture.'):
        path.write_text(content)
        with pytest.raises(ValueError, match=r'notes\.jpg did not pass the'):
            token_images.read_image(pipeline, path)
    with pytest.raises(FileNotFoundError, match=r'gone\.jpg does not exist'):
        token_images.read_image(pipeline, tmp_path / 'gone.jpg')


def test_a_folder_stands_for_its_images(tmp_path):
    for name in ('b.PNG', 'a.jpg', 'notes.txt'):
        (tmp_path / name).touch()
    named = tmp_path / 'notes.txt'
    files = token_images.image_files([named, tmp_path])
    assert files == [named, tmp_path / 'a.jpg', tmp_path / 'b.PNG']
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='empty holds no image'):
        token_images.image_files([str(tmp_path / 'empty')])
    with pytest.raises(FileNotFoundError, match='image gone does not exist'):
        token_images.image_files(['gone'])


def test_pictures_of_images_that_are_called_alike_get_different_names():
    paths = ['a/x.jpg', 'b/x.png', 'x_2.jpg', 'c/x.jpg', 'y.jpg']
    names = token_images.picture_names(paths)
    assert names == ['x', 'x_2', 'x_2_2', 'x_3', 'y']


class Preprocessed(torch.nn.Module):
    """A learner that pads to 64x64 and has one level of two tokens."""

    def data_preprocessor(self, data, training):
        assert training is False
        (image,) = data['inputs']
        height, width = image.shape[1:]
        padded = torch.zeros(1, 3, 64, 64)
        padded[0, :, :height, :width] = image
        return dict(inputs=padded, data_samples=data['data_samples'])

    def token_masks(self, inputs, samples):
        dark = (inputs[:, :1, ::8, ::8] == 0).float()
        return [torch.cat([dark, 1 - dark], 1)]


def test_the_image_comes_in_rgb_and_without_padding(data, tmp_path):
    path = tmp_path / 'blue.png'
    image = np.zeros((40, 48, 3), np.uint8)
    image[:, :, 0] = 250  # cv2 writes BGR
    cv2.imwrite(str(path), image)
    form = segmentation_dataset(data, train=False)
    pipeline = token_images.test_pipeline(
        Config(dict(default_scope='mmseg', test_dataloader=dict(dataset=form)))
    )
    packed = token_images.read_image(pipeline, path)
    shown, (level,) = token_images.masks_on_image(Preprocessed(), packed)
    assert shown.shape == (40, 48, 3)
    assert shown[0, 0].tolist() == [0, 0, 250]
    assert (level.grid, level.stride) == ((8, 8), (8, 8))
    assert level.areas.tolist() == [0, 1]
