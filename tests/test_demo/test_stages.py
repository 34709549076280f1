"""How the stages of a method went: read, described, drawn, handed on."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mmdistill_tools.demo import DemoError, pretraining, tokens
from tests.helpers.demo import planned

DET = planned(method='maskd')['mask-rcnn']
SEG = planned(method='pcd')['pspnet']


def run(folder, lines):
    """A run that has logged this; the last line is being written."""
    logs = folder / '20260101_000000' / 'vis_data'
    logs.mkdir(parents=True)
    text = ''.join(f'{json.dumps(line)}\n' for line in lines)
    (logs / 'scalars.json').write_text(f'{text}{{"step": ')
    return SimpleNamespace(folder=folder)


def with_runs(comparison, runs):
    """The comparison, as if its runs were these."""
    entries = {role: SimpleNamespace(run=run) for role, run in runs.items()}
    return replace(comparison, entries=entries)


@pytest.fixture
def stage_1(tmp_path):
    """Stage 1 of MasKD, of a detector."""
    lines = [
        dict(loss=7.5, loss_diversity=4.95, step=1),
        dict(loss=2.5, loss_diversity=0.25, step=100),
        {'masked/coco/segm_mAP': 0.12, 'plain/coco/segm_mAP': 0.15},
    ]
    lines[-1]['step'] = 100
    return dict(tokens=run(tmp_path / 'tokens', lines))


def test_how_tokens_were_learned_is_described(stage_1):
    found = tokens.read_summary(with_runs(DET, stage_1))
    assert found == tokens.TokenSummary(4.95, 0.25, 12.0, 15.0)
    sentence = found.to_sentence(DET)
    assert 'from 4.95 to 0.25' in sentence
    assert 'mask AP 12.0 through the masks, 15.0 without' in sentence


def test_curves_of_stage_1_show_both_losses(stage_1, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(tokens.figures, 'curves', lambda *a: drawn.append(a))
    tokens.draw_learning(tmp_path / 'tokens.png', stage_1['tokens'])
    ((_, task, diversity, _),) = drawn
    assert task['stage 1'] == ([1, 100], pytest.approx([2.55, 2.25]))
    assert diversity['stage 1'] == ([1, 100], [4.95, 0.25])


def test_a_masked_teacher_that_finds_nothing_has_no_points(stage_1):
    (path,) = stage_1['tokens'].folder.glob('*/vis_data/scalars.json')
    path.write_text(''.join(path.read_text().splitlines(True)[:2]))
    assert tokens.read_summary(with_runs(DET, stage_1)).masked == 0


def test_a_picture_of_masks_that_cannot_be_written_is_named(
    tmp_path, monkeypatch
):
    class Pictures:
        """Of a learner that is not there."""

        load_learner = read_image = test_pipeline = staticmethod(
            lambda *_: None
        )
        masks_on_image = staticmethod(lambda *_: ())

    picture = np.zeros((2, 2, 3), np.uint8)
    monkeypatch.setattr(tokens, 'token_images', Pictures)
    monkeypatch.setattr(tokens, 'token_learners', Pictures)
    monkeypatch.setattr(tokens, 'trained_config', lambda _: None)
    monkeypatch.setattr(tokens, 'draw_masks', lambda *_: picture)
    path = tmp_path / 'nowhere' / 'masks.png'
    with pytest.raises(DemoError, match=rf'{path} could not be written'):
        tokens.draw_tokens(path, DET.runs['tokens'], 'image.jpg')


@pytest.fixture
def stages(tmp_path):
    """Both stages of PCD: 20 iterations, the last ten alternate."""
    top1, positive = [0.0] * 10 + [0.4, 0.6] * 5, [0.1] * 10 + [0.7, 0.9] * 5
    lines = [
        dict(
            loss_contrast=6.0 - i / 10,
            top1=top1[i],
            positive=positive[i],
            hardest=0.25,
            step=i + 1,
        )
        for i in range(20)
    ]
    head = [dict(top1=0.125, step=1), dict(top1=0.75, step=2)]
    return dict(
        contrast=run(tmp_path / 'contrast', head),
        pretraining=run(tmp_path / 'pretraining', lines),
    )


def test_how_the_contrast_went_is_described(stages):
    found = pretraining.read_summary(with_runs(SEG, stages))
    assert found.top1 == (0, pytest.approx(0.5))
    assert found.positive == (0.1, pytest.approx(0.8))
    assert found.hardest == (0.25, pytest.approx(0.25))
    assert found.image_top1 == (0.125, pytest.approx(0.4375))
    sentence = found.to_sentence(SEG)
    assert sentence.startswith('PSPNet pre-training, without labels:')
    assert 'went from 0 % to 50 %; the cosine with the teacher' in sentence
    assert 'from 0.10 to 0.80, with the hardest negative from 0.25' in sentence
    assert '44 % of the images of a batch' in sentence


def test_curves_of_the_contrast_show_what_is_logged(
    stages, tmp_path, monkeypatch
):
    drawn = []
    monkeypatch.setattr(
        pretraining.figures, 'curves', lambda *a: drawn.append(a)
    )
    pretraining.draw_learning(tmp_path / 'x.png', stages['pretraining'])
    ((_, losses, monitored, _),) = drawn
    ((steps, loss),) = losses.values()
    assert (steps[-1], loss[0]) == (20, 6.0)
    assert [values[-1] for _, values in monitored.values()] == [0.6, 0.9, 0.25]
