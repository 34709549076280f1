"""Pictures of tokens from the command line."""

import cv2
import pytest
import torch

from mmdistill_dense.models.maskd.receptive_tokens import ReceptiveTokens
from mmdistill_dense.models.maskd.token_files import write_tokens

from ..helpers.datasets import (
    detection_dataset,
    segmentation_dataset,
    write_dataset,
)
from ..helpers.models import mask_rcnn, pspnet, save_weights
from .pairs import row, run_tool, write_config


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp('data') / 'shapes', images=3)


@pytest.fixture
def draw(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*args):
        return run_tool(capsys, 'visualize_masks', *args)

    return call


def learner(at, teacher, **settings):
    kind = 'mmdistill_dense.MaskTokenLearner'
    return dict(type=kind, teacher=teacher, at=at, **settings)


def tokens(path, channels, levels=1, count=3):
    torch.manual_seed(0)
    made = [
        ReceptiveTokens(channels, count, False, 3.0) for _ in range(levels)
    ]
    write_tokens(str(path), torch.nn.ModuleList(made), {})
    return path


@pytest.fixture(scope='module')
def segmentor(data):
    """A stage 1 config on the logits of a PSPNet, of 4 channels."""
    path = data.parent / 'tokens_logits.py'
    checkpoint = save_weights(pspnet(), data.parent / 't.pth', scope='mmseg')
    model = learner('logits', dict(cfg=pspnet(), checkpoint=checkpoint))
    loader = dict(dataset=segmentation_dataset(data, train=False))
    return write_config(path, model, 'mmseg', test_dataloader=loader)


def test_every_image_gets_a_picture_and_a_table(
    segmentor, data, draw, tmp_path
):
    images = data / 'images'
    file = tokens(tmp_path / 'tokens.pth', channels=4)
    text = draw(segmentor, file, images / '001.jpg', images)
    names = [f'{n}_masks.png' for n in ('001', '000', '001_2', '002')]
    written = tmp_path / 'work_dirs' / 'masks'
    assert sorted(names) == sorted(p.name for p in written.iterdir())
    same = [cv2.imread(str(written / names[i])) for i in (0, 2)]
    other = cv2.imread(str(written / names[1]))
    assert (same[0] == same[1]).all()
    assert (other != same[0]).any()
    for name in names:
        assert f'work_dirs/masks/{name}, of ' in text
    cells = row(text, '0')
    assert cells[:3] == ['0', '8', '8x8']
    assert len(cells[4].split()) == len(cells[5].split()) == 3


def test_a_detector_of_stage_2_shows_every_level(data, draw, tmp_path):
    checkpoint = save_weights(mask_rcnn(), tmp_path / 'det.pth')
    stale = dict(cfg=mask_rcnn(), checkpoint='nowhere.pth')
    loader = dict(dataset=detection_dataset(data, train=False))
    first = write_config(
        tmp_path / 'tokens_neck.py',
        learner('neck', stale),
        'mmdet',
        test_dataloader=loader,
    )
    second = write_config(
        tmp_path / 'maskd_neck.py',
        dict(
            type='mmdistill_dense.DenseDistiller',
            teacher=dict(cfg=mask_rcnn(), checkpoint=checkpoint),
            terms=dict(maskd=dict(at='neck', loss=dict(tokens='t.pth'))),
        ),
        'mmdet',
        token_cfg=str(first),
    )
    file = tokens(tmp_path / 'tokens.pth', channels=32, levels=5, count=2)
    image = tmp_path / 'small.png'
    cv2.imwrite(str(image), cv2.imread(str(data / 'images/000.jpg'))[:40])
    text = draw(second, file, image, '--out-dir', tmp_path / 'out')
    assert (tmp_path / 'out' / 'small_masks.png').is_file()
    strides = [row(text, str(level))[1] for level in range(5)]
    assert strides == ['4', '8', '16', '32', '64']
    assert row(text, '0')[2] == '16x16'  # 40 rows of pixels, padded to 64


def test_refusals_are_sentences(segmentor, data, draw, tmp_path):
    image = data / 'images' / '000.jpg'
    file = tokens(tmp_path / 'tokens.pth', channels=4)
    stock = write_config(tmp_path / 'stock.py', pspnet())
    wider = tokens(tmp_path / 'wider.pth', channels=5)
    deeper = tokens(tmp_path / 'deeper.pth', channels=4, levels=2)
    text = tmp_path / 'notes.jpg'
    text.write_text('Not a picture.')
    for args, says in (
        (('gone.py', file, image), r"config 'gone\.py' does not exist"),
        ((segmentor, file, 'gone.jpg'), r'image gone\.jpg does not exist'),
        ((segmentor, file, text), r'notes\.jpg did not pass the test pipe'),
        ((segmentor, 'gone.pth', image), r'token file .*gone\.pth'),
        ((segmentor, wider, image), r'1 levels of \[5\].*1 levels of \[4\]'),
        ((segmentor, deeper, image), r'2 levels of \[4, 4\]'),
        ((stock, file, image), r"got one with model\.type='EncoderDecoder'"),
    ):
        with pytest.raises(SystemExit, match=f'visualize_masks: .*{says}'):
            draw(*args)
