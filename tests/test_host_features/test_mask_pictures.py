"""MaskVisualizationHook: pictures in a real run, which does not change."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import HOOKS, VISBACKENDS
from mmengine.visualization import BaseVisBackend
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)

from mmdistill_dense.models.maskd import mask_visualization_hook

from ..helpers.models import mask_rcnn, pspnet, save_weights
from ..helpers.runs import KeepLosses, differing, runner, snapshot, validation

HOOK = dict(type='mmdistill_dense.MaskVisualizationHook', interval=2)
SEEN = []


@VISBACKENDS.register_module()
class SeenImages(BaseVisBackend):
    """A backend of the user's: keeps what it is given."""

    def _init_env(self):
        pass

    @property
    def experiment(self):
        return self

    def add_image(self, name, image, step=0, **kwargs):
        SEEN.append((name, step, image))


@pytest.fixture(autouse=True)
def _forget_images():
    SEEN.clear()


@pytest.fixture(scope='module')
def teachers(tmp_path_factory):
    """Teachers of the model that a run of each host learns on."""
    folder, made = tmp_path_factory.mktemp('teachers'), {}
    for scope, cfg in (('mmdet', mask_rcnn()), ('mmseg', pspnet())):
        path = save_weights(cfg, folder / f'{scope}.pth', scope=scope)
        made[scope] = dict(cfg=cfg, checkpoint=path)
    return made


@pytest.fixture
def run(teachers, data, tmp_path):
    """Build a run of stage 1 with these hooks."""

    def make(
        scope='mmseg', hooks=(), iters=3, val=True, backends=(), **settings
    ):
        model = dict(
            type='mmdistill_dense.MaskTokenLearner',
            teacher=teachers[scope],
            at='neck' if scope == 'mmdet' else 'logits',
            num_tokens=2,
            weighting=scope == 'mmdet',
            _scope_=scope,
        )
        if val:
            settings.update(validation(scope, data, 'val'))
            settings['train_cfg'] = dict(
                type='IterBasedTrainLoop', max_iters=iters, val_interval=100
            )
        kinds = [dict(type='LocalVisBackend'), dict(type='SeenImages')]
        visualizer = dict(type='Visualizer', vis_backends=[*kinds, *backends])
        return runner(
            model,
            data,
            tmp_path,
            iters=iters,
            custom_hooks=list(hooks),
            visualizer=visualizer,
            **settings,
        )

    return make


def drawn():
    return [(name, step) for name, step, _ in SEEN]


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
def test_validation_images_are_drawn_every_interval_and_at_the_end(run, scope):
    made = run(scope, [HOOK])
    made.train()
    names = ('masks_000', 'masks_001')
    assert drawn() == [(name, step) for step in (2, 3) for name in names]
    for _, _, picture in SEEN:
        assert picture.dtype == np.uint8
        assert picture.ndim == 3
        assert picture.std() > 10
    # Tokens have moved, and images differ.
    assert (SEEN[0][2] != SEEN[2][2]).any()
    assert (SEEN[0][2] != SEEN[1][2]).any()
    files = Path(made.log_dir, 'vis_data', 'vis_image').iterdir()
    assert sorted(f.name for f in files) == sorted(
        f'{name}_{step}.png' for name, step in drawn()
    )


def test_tensorboard_gets_them(run):
    made = run(hooks=[HOOK], backends=[dict(type='TensorboardVisBackend')])
    made.train()
    made.visualizer.close()
    folder = Path(made.log_dir, 'vis_data')
    events = EventAccumulator(str(folder), size_guidance=dict(images=0))
    events.Reload()
    assert events.Tags()['images'] == ['masks_000', 'masks_001']
    assert [e.step for e in events.Images('masks_000')] == [2, 3]


def test_images_can_be_named_and_need_no_validation(run, data):
    images = [str(data / 'images' / '004.jpg')]
    loader = validation('mmseg', data, 'test')['test_dataloader']
    made = run(hooks=[dict(HOOK, interval=5, images=images)], val=False)
    made.cfg.test_dataloader = loader
    made.train()
    assert drawn() == [('masks_004', 3)]


@pytest.mark.parametrize('scope', ['mmdet', 'mmseg'])
def test_training_is_bit_by_bit_the_same_with_the_hook(run, scope):
    losses, weights = [], []
    for hooks in ([], [dict(HOOK, interval=1, images=1)]):
        keep = KeepLosses()
        made = run(scope, hooks, iters=2)
        made.register_hook(keep, priority=keep.priority)
        made.train()
        losses.append(keep.steps)
        weights.append(snapshot(made.model))
    assert len(SEEN) == 2
    assert not differing(*weights)
    for one, other in zip(*losses, strict=True):
        assert not differing(one, other)


def test_only_the_first_process_draws(run, monkeypatch):
    monkeypatch.setattr(
        mask_visualization_hook, 'is_main_process', lambda: False
    )
    run(hooks=[HOOK]).train()
    assert SEEN == []


@pytest.mark.parametrize('interval', [0, -1, 2.5, None, True])
def test_an_interval_that_is_none_is_refused(interval):
    with pytest.raises(ValueError, match='interval must be an integer >= 1'):
        HOOKS.build(dict(HOOK, interval=interval))


@pytest.mark.parametrize('images', [0, [], 'a.jpg', None, True])
def test_images_that_are_none_are_refused(images):
    with pytest.raises(ValueError, match=r'unless a list of paths, .* got '):
        HOOKS.build(dict(HOOK, images=images))


def test_a_model_without_tokens_is_refused(data, tmp_path):
    made = runner(pspnet(), data, tmp_path, iters=1, custom_hooks=[HOOK])
    with pytest.raises(ValueError, match='EncoderDecoder learns no tokens'):
        made.train()


def test_a_run_without_validation_must_name_images(run):
    made = run(hooks=[HOOK], val=False)
    with pytest.raises(ValueError, match=r'images=2 are the first.*has none'):
        made.train()


def test_a_named_image_that_is_not_there_is_refused(run):
    made = run(hooks=[dict(HOOK, images=['gone.jpg'])])
    with pytest.raises(FileNotFoundError, match=r'gone\.jpg does not exist'):
        made.train()
