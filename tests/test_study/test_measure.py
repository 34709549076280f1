"""What is recorded of a run comes from its folder and its checkpoint."""

import json
from dataclasses import replace

import pytest
from mmengine.config import Config

from mmdistill_tools.runs import process_pool
from mmdistill_tools.runs.run import Run
from mmdistill_tools.runs.scores import Outcome
from mmdistill_tools.study import StudyError, measure
from mmdistill_tools.study.definition import Row
from mmdistill_tools.study.plan import Entry
from mmdistill_tools.study.results import command

from ..helpers.datasets import SEG_CLASSES, write_dataset
from ..helpers.models import cwd, pspnet, save_weights
from ..helpers.runs import distilled, run_config


def made_with(commit):
    return dict(commit=commit, versions={}, machine=dict(cores=f'of {commit}'))


@pytest.fixture
def entry(tmp_path):
    """A finished run of a distilled student, with random weights."""
    folder = tmp_path / 'run'
    data = write_dataset(tmp_path / 'data')
    teacher = dict(cfg='gone.py', checkpoint='gone.pth')
    model = distilled(pspnet(), teacher, dict(cwd=cwd('logits')))
    cfg = Config(run_config(model, data, folder, iters=4, val=True))
    folder.mkdir()
    cfg.dump(folder / 'my.py')
    run = Run('a run', 'my.py', folder, 4, {'a': 1}, 'mIoU')
    save_weights(pspnet(), run.checkpoint)
    starts = [
        dict(begin=10.0, end=40.0, peak=90.0, origin=made_with('abc')),
        dict(begin=50.0, end=51.0, peak=None, origin=made_with('def')),
    ]
    (folder / process_pool.STARTS_FILE).write_text(json.dumps(starts))
    return Entry(Row('row', 'a row', 'my.py', (5,), 1.0, {}, {}), 5, run)


@pytest.fixture
def outcome(monkeypatch):
    """Make up what the evaluation gives."""

    def give(**scores):
        made_up = Outcome(scores, dict(sky=float('nan')), 10, 20)
        monkeypatch.setattr(measure, 'outcome_of', lambda run: made_up)

    return give


def scored(entry, *metrics):
    """The entry, with scores that its row names."""
    row = replace(entry.row, metrics=dict(zip(metrics, metrics, strict=True)))
    return replace(entry, row=row)


@pytest.mark.filterwarnings('ignore::UserWarning')
def test_the_plain_student_is_scored_without_its_teacher(
    entry, tmp_path, monkeypatch
):
    config = str(tmp_path / 'my.py')
    monkeypatch.setattr(measure, 'config_path', lambda name: config)
    result = measure.measure(scored(entry, 'mIoU', 'aAcc'))
    assert (result.row, result.seed, result.length) == ('row', 5, 4)
    assert set(result.scores) == {'mIoU', 'aAcc'}
    assert 0 < result.scores['aAcc'] <= 100
    assert tuple(result.classes) == SEG_CLASSES
    assert result.flops > result.parameters > 0
    assert (result.train_seconds, result.peak_mib) == (31.0, 90.0)
    assert (result.starts, result.commit) == (2, 'abc, def')
    assert result.machine == dict(cores='of def')
    assert result.command == command(entry)
    assert result.ended.endswith('Z')


def test_the_memory_of_a_gpu_is_what_torch_logged(entry, outcome):
    outcome(mIoU=40.12345)
    path = entry.run.folder / '2026' / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    lines = [dict(loss=1.0, step=step, memory=800 + step) for step in (1, 2)]
    path.write_text(''.join(f'{json.dumps(line)}\n' for line in lines))
    result = measure.measure(scored(entry, 'mIoU'))
    assert result.peak_mib == 802.0
    assert result.scores == dict(mIoU=40.123)
    assert result.classes == dict(sky=None)


@pytest.mark.parametrize(
    ('scores', 'match'),
    [
        (dict(aAcc=1.0), 'a run: its evaluation gives no mIoU, only aAcc'),
        (dict(mIoU=float('nan')), 'a run: mIoU is no number. Its loss'),
    ],
)
def test_a_score_that_is_not_there_is_named(entry, outcome, scores, match):
    outcome(**scores)
    with pytest.raises(StudyError, match=match):
        measure.measure(scored(entry, 'mIoU'))


def test_what_only_prepares_others_is_not_evaluated(entry, monkeypatch):
    def fail(run):
        raise AssertionError(run)

    monkeypatch.setattr(measure, 'outcome_of', fail)
    result = measure.measure(
        replace(entry, row=replace(entry.row, scored=False))
    )
    assert (result.scores, result.classes) == ({}, {})
    assert (result.parameters, result.flops) == (0, 0)
    # Its costs are those of any run.
    assert (result.train_seconds, result.peak_mib) == (31.0, 90.0)
    assert result.command == command(entry)


def test_a_run_that_nobody_started_is_named(entry, outcome):
    outcome(mIoU=40.0)
    (entry.run.folder / process_pool.STARTS_FILE).unlink()
    with pytest.raises(StudyError, match=r'starts\.json is gone'):
        measure.measure(scored(entry, 'mIoU'))


def test_a_finished_model_is_scored_as_it_is(entry, tmp_path):
    weights = entry.run.checkpoint.rename(tmp_path / 'weights.pth')
    config = (entry.run.folder / 'my.py').rename(tmp_path / 'stock.py')
    cfg = Config.fromfile(config)
    cfg.model = cfg.model.student
    cfg.dump(config)
    run = replace(
        entry.run,
        config=str(config),
        folder=tmp_path / 'never_made',
        pretrained_checkpoint=weights,
        options={'val_dataloader.num_workers': 0},
    )
    result = measure.measure(scored(replace(entry, run=run), 'mIoU'))
    assert result.scores['mIoU'] >= 0
    assert result.parameters > 0
    assert (result.length, result.train_seconds, result.starts) == (0, 0, 0)
    assert result.command == (
        f'python tools/test.py {config} {weights} '
        '--cfg-options val_dataloader.num_workers=0'
    )
    assert result.versions['python']
    assert not run.folder.exists()
