"""From the demo's settings to its trainings."""

import logging
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest
from mmengine.config import Config

from mmdistill_dense.compat import own_config
from mmdistill_tools.demo import settings, steps
from mmdistill_tools.runs.schedule import length_options
from mmdistill_tools.study.definition import read_study
from mmdistill_tools.study.plan import plan_study
from tests.helpers.demo import (
    DATA,
    config,
    config_of,
    planned,
    same_file,
    shapes_of,
    waits_for,
)

#: They distil while the student learns its task.
TASK_METHODS = ['cwd', 'maskd']
NAMES = ['pspnet', 'mask-rcnn']


@pytest.mark.parametrize('method', TASK_METHODS)
@pytest.mark.parametrize('data', DATA)
@pytest.mark.parametrize('name', NAMES)
def test_rows_name_configs_that_fit_each_other(data, name, method):
    comparison = planned(data, method=method)[name]
    cfgs = {
        role: config(entry.row.config)
        for role, entry in comparison.entries.items()
    }
    distilled, student = cfgs['distilled'], cfgs['student']
    assert distilled.model.student.to_dict() == student.model.to_dict()
    assert cfgs['teacher'].model.to_dict() != student.model.to_dict()
    teacher = comparison.runs['teacher'].config
    assert distilled.model.teacher.cfg == teacher
    assert ('tokens' in cfgs) == (method == 'maskd')
    if 'tokens' in cfgs:
        assert distilled.token_cfg == comparison.runs['tokens'].config
        assert cfgs['tokens'].model.teacher.cfg == teacher


@pytest.mark.parametrize(
    'name', ['demo/study_shapes.yaml', 'camvid/study_camvid.yaml']
)
def test_the_demo_is_a_study(name):
    """``tools/study.py`` can run all of its rows."""
    study = read_study(Path(own_config(name)))
    rows = {entry.row.name: entry.row for entry in plan_study(study)}
    assert rows == study.rows
    scored = [row for row in rows.values() if row.scored]
    assert len(rows) - len(scored) == 4  # tokens of both, two stages of PCD
    assert {tuple(row.metrics) for row in scored} == {
        ('mIoU',),
        ('coco/segm_mAP', 'coco/bbox_mAP'),
    }


@pytest.mark.parametrize('data', DATA)
def test_a_validation_without_a_score_ends_no_training(data):
    for comparison in planned(data, method='maskd').values():
        for run in comparison.runs.values():
            checkpoint = config_of(run).default_hooks.checkpoint
            assert checkpoint.save_best is None


@pytest.mark.parametrize('method', TASK_METHODS)
@pytest.mark.parametrize('data', DATA)
def test_student_and_distilled_differ_in_the_teacher_only(data, method):
    compared = planned(data, seed=7, length=0.5, method=method)
    assert list(compared) == NAMES
    for runs in (comparison.runs for comparison in compared.values()):
        student = dict(runs['student'].options)
        distilled = dict(runs['distilled'].options)
        distilled.pop('model.teacher.checkpoint', None)
        teacher = config_of(runs['distilled']).model.teacher.checkpoint
        assert same_file(teacher, runs['teacher'].checkpoint)
        assert waits_for(runs['distilled'], runs['teacher'])
        assert distilled['randomness.seed'] == 7
        for key in [k for k in distilled if '.loss.' in k]:
            value = distilled.pop(key)
            if key.endswith('.tokens'):
                assert value == str(runs['tokens'].checkpoint)
                assert runs['tokens'].checkpoint in runs['distilled'].after
        of_teacher = [k for k in distilled if k.startswith('model.teacher')]
        for key in of_teacher:
            own = key.removeprefix('model.teacher.cfg_options.')
            assert distilled.pop(key) == runs['teacher'].options[own]
        assert student == {
            key.replace('model.student.', 'model.'): value
            for key, value in distilled.items()
        }
        assert len({run.folder for run in runs.values()}) == len(runs)


@pytest.mark.parametrize('data', DATA)
def test_tokens_are_learned_on_the_teacher_and_handed_on(data):
    for comparison in planned(data, method='maskd').values():
        tokens, teacher = comparison.runs['tokens'], comparison.runs['teacher']
        assert waits_for(tokens, teacher)
        assert tokens.metric == f'masked/{teacher.metric}'
        learner, model = (
            config_of(comparison.runs[role]).model
            for role in ('tokens', 'distilled')
        )
        assert same_file(learner.teacher.checkpoint, teacher.checkpoint)
        assert learner.teacher.to_dict() == model.teacher.to_dict()
        for term in model.terms.values():
            assert term.loss.tokens == str(tokens.checkpoint)


@pytest.mark.parametrize('data', DATA)
def test_methods_share_teachers_and_students(data):
    plans = [planned(data, method=method) for method in settings.METHODS]
    for name in NAMES:
        found = [plan[name].runs for plan in plans if name in plan]
        for role in ('teacher', 'student'):
            assert all(runs[role] == found[0][role] for runs in found)
        assert len({runs['distilled'].folder for runs in found}) == len(found)


@pytest.mark.parametrize('data', DATA)
@pytest.mark.parametrize('length', [1, 0.5])
def test_masks_of_the_student_come_in_as_late_in_a_shorter_run(data, length):
    comparison = planned(data, method='maskd', length=length)['mask-rcnn']
    run, cfg = (
        comparison.runs['distilled'],
        config(comparison.runs['distilled'].config),
    )
    warmup = run.options['model.terms.maskd.loss.custom_mask_warmup']
    share = cfg.model.terms.maskd.loss.custom_mask_warmup
    share /= cfg.train_cfg.max_iters
    assert warmup / run.length == pytest.approx(share, rel=0.1)


@pytest.mark.parametrize('data', DATA)
def test_detectors_start_from_segmentors_of_their_width(data):
    segmentor, detector = planned(data).values()
    for role, run in detector.runs.items():
        if run.pretrained_checkpoint:
            continue
        source = segmentor.runs['teacher' if role == 'teacher' else 'student']
        assert source.checkpoint in run.after
        model = config_of(run).model
        backbone = model.get('student', model).backbone
        assert backbone.init_cfg.to_dict() == dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint=str(source.checkpoint),
        )
        assert shapes_of(backbone, 'mmdet') == shapes_of(
            config_of(source).model.backbone, 'mmseg'
        )


@pytest.mark.parametrize('factor', [0.01, 0.5, 1, 3])
@pytest.mark.parametrize('name', ['pspnet', 'mask-rcnn'])
def test_a_shorter_schedule_has_the_same_course(name, factor):
    logging.disable()
    cfg = Config.fromfile(own_config(f'demo/{name}_student_shapes.py'))
    logging.disable(logging.NOTSET)
    options = length_options(cfg, factor)
    total = options['train_cfg.max_iters']
    assert total == pytest.approx(cfg.train_cfg.max_iters * factor, abs=6)
    scaled = cfg.copy()
    scaled.merge_from_dict(options)
    warmup, decay = scaled.param_scheduler
    assert warmup.begin == 0
    assert warmup.end == decay.begin >= 2
    assert decay.end == total
    # The last iteration is validated and saved.
    assert total % scaled.train_cfg.val_interval == 0
    assert total % scaled.default_hooks.checkpoint.interval == 0


@pytest.mark.parametrize('own', [None, '3'])
@pytest.mark.parametrize(
    ('usable', 'at_once', 'each'), [({5}, 1, '1'), (set(range(9)), 2, '4')]
)
def test_trainings_share_the_cores_that_may_be_used(
    monkeypatch, own, usable, at_once, each
):
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    if own:
        monkeypatch.setenv('OMP_NUM_THREADS', own)
    monkeypatch.setattr(steps, 'get_device', lambda: 'cpu')
    monkeypatch.setattr(os, 'cpu_count', lambda: 64)
    monkeypatch.setattr(
        os, 'sched_getaffinity', lambda _: usable, raising=False
    )
    slot = {} if own else dict(OMP_NUM_THREADS=each)
    assert steps.slots() == [slot] * at_once


def test_an_unfinished_data_set_is_not_taken(tmp_path, monkeypatch):
    few, start = ['--train', '3', '--val', '1'], steps.subprocess.Popen
    monkeypatch.setattr(
        steps.subprocess, 'Popen', lambda args, **kw: start(args + few, **kw)
    )
    console = steps.Console(quiet=True)
    with (
        pytest.raises(KeyboardInterrupt, match='by the user'),
        steps._drawn_dataset(tmp_path / 'data', console),
    ):
        raise KeyboardInterrupt('by the user')
    assert not (tmp_path / 'data').exists()
    with steps._drawn_dataset(tmp_path / 'data', console):
        assert not (tmp_path / 'data').exists()
    assert [path.name for path in tmp_path.iterdir()] == ['data']
    assert len([*tmp_path.glob('data/images/*/*.jpg')]) == 4
    with steps._drawn_dataset(tmp_path / 'data', console):
        pass


def running(group):
    """Processes of a group that have not ended."""
    stats = (read_stat(path) for path in Path('/proc').glob('[0-9]*/stat'))
    return [
        stat for stat in stats if stat[2:3] == [str(group)] and stat[0] != 'Z'
    ]


def read_stat(path):
    with suppress(OSError):
        return path.read_text().rpartition(') ')[2].split()
    return []


def test_an_interrupt_leaves_no_process_that_draws(tmp_path, monkeypatch):
    started, start = [], steps.subprocess.Popen

    def popen(*args, **options):
        started.append(start(*args, **options))
        return started[0]

    monkeypatch.setattr(steps.subprocess, 'Popen', popen)
    monkeypatch.setattr(steps, 'available_cores', lambda: 2)
    console = steps.Console(quiet=True)

    def draw_and_interrupt():
        with steps._drawn_dataset(tmp_path / 'data', console):
            while not [*tmp_path.glob('*/images/train/*.jpg')]:
                time.sleep(0.1)
            assert len(running(started[0].pid)) == 3
            raise KeyboardInterrupt('by the user')

    with pytest.raises(KeyboardInterrupt, match='by the user'):
        draw_and_interrupt()
    group = started[0].pid
    deadline = time.monotonic() + 30
    while running(group) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not running(group)


def test_a_data_set_that_cannot_be_drawn(tmp_path):
    tmp_path.joinpath('a_file').touch()
    data = tmp_path / 'a_file' / 'data'
    with (
        pytest.raises(
            settings.DemoError,
            match=r'data set could not be drawn: shapes: .*a_file',
        ),
        steps._drawn_dataset(data, steps.Console(quiet=True)),
    ):
        pass
