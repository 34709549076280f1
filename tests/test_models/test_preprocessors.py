"""Batches of views on their way into a model."""

import pytest
import torch
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.registry import MODELS
from mmengine.structures import BaseDataElement

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
RGB = dict(mean=MEAN, std=STD, bgr_to_rgb=True)
PLAIN = dict(mean=None, std=None, bgr_to_rgb=False)


def build(**settings):
    settings['type'] = 'mmdistill_dense.MultiViewPreprocessor'
    return MODELS.build(settings)


def items(count=3, size=(4, 5)):
    return [
        dict(
            inputs=[
                torch.randint(0, 256, (3, *size), dtype=torch.uint8)
                for _ in range(2)
            ],
            data_samples=BaseDataElement(metainfo=dict(views=[i])),
        )
        for i in range(count)
    ]


@pytest.mark.parametrize('collate', [default_collate, pseudo_collate])
def test_values_in_rgb(collate):
    batch = items()
    made = build(**RGB)(collate(batch), training=True)
    assert len(made['inputs']) == 2
    for i, view in enumerate(made['inputs']):
        assert view.shape == (3, 3, 4, 5)
        assert view.dtype == torch.float32
        for n, item in enumerate(batch):
            bgr = item['inputs'][i].double()
            for channel in range(3):
                expected = (bgr[2 - channel] - MEAN[channel]) / STD[channel]
                torch.testing.assert_close(
                    view[n, channel].double(), expected, rtol=1e-5, atol=1e-5
                )
    views = [sample.views for sample in made['data_samples']]
    assert views == [[0], [1], [2]]


def test_values_in_bgr_and_as_they_are():
    batch = default_collate(items())
    first = batch['inputs'][0].clone()
    plain = build(**PLAIN)(batch)['inputs'][0]
    assert torch.equal(plain, first.float())
    halves = dict(mean=[0, 0, 0], std=[1, 2, 4], bgr_to_rgb=False)
    halved = build(**halves)(batch)['inputs'][0]
    assert torch.equal(halved[:, 2] * 4, first[:, 2].float())
    assert torch.equal(batch['inputs'][0], first)


def test_nothing_of_it_is_saved_and_it_moves():
    preprocessor = build(**RGB)
    assert preprocessor.state_dict() == {}
    preprocessor.to('meta')
    assert preprocessor.mean.device.type == 'meta'
    views = build(**PLAIN).to('meta')(default_collate(items()))['inputs']
    assert all(view.device.type == 'meta' for view in views)


def test_data_samples_may_be_missing():
    batch = default_collate(items())
    del batch['data_samples']
    assert build(**PLAIN)(batch)['data_samples'] is None


def tensors(*shapes):
    return [torch.zeros(shape) for shape in shapes]


REFUSED = {
    'a tensor': (torch.zeros(2, 3, 4, 4), 'a list of views, got Tensor'),
    'one view': (tensors((2, 3, 4, 4)), 'two views or more, got 1'),
    'plain images': (
        tensors((3, 4, 4), (3, 4, 4)),
        r'\(N, 3, H, W\), got \(3, 4, 4\)\. Usual cause: a pipeline without',
    ),
    'channels': (tensors((2, 1, 4, 4), (2, 1, 4, 4)), r'got \(2, 1, 4, 4\)'),
    'sizes': (
        tensors((2, 3, 4, 4), (2, 3, 4, 6)),
        r'one shape .* \[\(2, 3, 4, 4\), \(2, 3, 4, 6\)\]',
    ),
    'images of many sizes': (
        [tensors((3, 4, 4), (3, 4, 6))] * 2,
        r'one size in all .* \[\(3, 4, 4\), \(3, 4, 6\)\]',
    ),
    'no images': ([[], []], r'one size in all images of a batch, got \[\]'),
}


@pytest.mark.parametrize(('inputs', 'message'), REFUSED.values(), ids=REFUSED)
def test_batches_that_are_refused(inputs, message):
    with pytest.raises(ValueError, match=message):
        build(**PLAIN)(dict(inputs=inputs))


def test_a_batch_that_is_no_dict_is_refused():
    with pytest.raises(ValueError, match='a list of views, got NoneType'):
        build(**PLAIN)(tensors((2, 3, 4, 4), (2, 3, 4, 4)))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(mean=MEAN, std=None), 'or both None, got .* std=None'),
        (dict(mean=None, std=STD), 'or both None, got mean=None'),
        (dict(mean=[0, 0], std=[1, 1]), 'three numbers each'),
        (dict(mean=MEAN, std=[1, 0, 1]), 'std must be above 0'),
    ],
)
def test_statistics_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings, bgr_to_rgb=True)


@pytest.mark.parametrize('name', RGB)
def test_nothing_is_taken_for_granted(name):
    settings = {key: RGB[key] for key in RGB if key != name}
    with pytest.raises(TypeError, match=f"keyword-only argument: '{name}'"):
        build(**settings)


def test_unnormalised_views_are_logged(log_lines):
    build(**RGB)
    assert not log_lines
    build(**PLAIN)
    assert [line for line in log_lines if 'are not normalised' in line]
