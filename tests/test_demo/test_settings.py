"""From what the demo is asked for to its trainings."""

import logging
from dataclasses import replace

import pytest
from mmengine.config import Config

from mmdistill_dense.compat import own_config
from mmdistill_tools.demo import steps, studies
from mmdistill_tools.runs import provenance
from mmdistill_tools.runs.schedule import length_options
from tests.helpers.demo import (
    EVERY,
    config,
    config_of,
    planned,
    shapes_of,
)

pytestmark = pytest.mark.usefixtures('_configs_are_read_once')
#: They distil while the student learns its task.
TASK_METHODS = ['cwd', 'maskd']


@pytest.mark.parametrize('method', TASK_METHODS)
@pytest.mark.parametrize('study', studies.SHAPES + studies.CAMVID)
def test_studies_name_configs_that_fit_each_other(study, method):
    roles = dict(replace(study, method=method).roles())
    cfgs = {role: config(own_config(roles[role])) for role in roles}
    distilled, student = cfgs['distilled'], cfgs['student']
    assert distilled.model.student.to_dict() == student.model.to_dict()
    assert cfgs['teacher'].model.to_dict() != student.model.to_dict()
    assert distilled.model.teacher.cfg.endswith(roles['teacher'])
    assert ('tokens' in cfgs) == (method == 'maskd')
    if 'tokens' in cfgs:
        assert distilled.token_cfg.endswith(roles['tokens'])
        assert cfgs['tokens'].model.teacher.cfg.endswith(roles['teacher'])
    assert study.margin > 0
    assert study.least > 0


@pytest.mark.parametrize('every', EVERY)
def test_a_validation_without_a_score_ends_no_training(every):
    for runs in planned(every, method='maskd').values():
        for run in runs.values():
            checkpoint = config_of(run).default_hooks.checkpoint
            assert checkpoint.save_best is None


@pytest.mark.parametrize('method', TASK_METHODS)
@pytest.mark.parametrize('every', EVERY)
def test_student_and_distilled_differ_in_the_teacher_only(every, method):
    plans = planned(every, seed=7, length=0.5, method=method)
    assert [study.name for study in plans] == [study.name for study in every]
    for runs in plans.values():
        student = dict(runs['student'].options)
        distilled = dict(runs['distilled'].options)
        teacher = distilled.pop('model.teacher.checkpoint')
        assert teacher == runs['teacher'].checkpoint
        assert teacher in runs['distilled'].after
        assert distilled['randomness.seed'] == 7
        for key in [k for k in distilled if '.loss.' in k]:
            value = distilled.pop(key)
            if key.endswith('.tokens'):
                assert value == runs['tokens'].checkpoint
                assert value in runs['distilled'].after
        theirs = [k for k in distilled if k.startswith('model.teacher')]
        for key in theirs:
            own = key.removeprefix('model.teacher.cfg_options.')
            assert distilled.pop(key) == runs['teacher'].options[own]
        assert student == {
            key.replace('model.student.', 'model.'): value
            for key, value in distilled.items()
        }
        assert len({run.folder for run in runs.values()}) == len(runs)


@pytest.mark.parametrize('every', EVERY)
def test_tokens_are_learned_on_the_teacher_and_handed_on(every):
    for runs in planned(every, method='maskd').values():
        tokens, teacher = runs['tokens'], runs['teacher']
        assert tokens.after == (teacher.checkpoint,)
        assert tokens.metric == f'masked/{teacher.metric}'
        learner, model = (
            config_of(runs[role]).model for role in ('tokens', 'distilled')
        )
        assert learner.teacher.checkpoint == teacher.checkpoint
        assert learner.teacher.to_dict() == model.teacher.to_dict()
        for term in model.terms.values():
            assert term.loss.tokens == tokens.checkpoint


@pytest.mark.parametrize('every', EVERY)
def test_methods_share_teachers_and_students(every):
    plans = [planned(every, method=method) for method in studies.METHODS]
    for name in ('pspnet', 'mask-rcnn'):
        found = [r for p in plans for s, r in p.items() if s.name == name]
        for role in ('teacher', 'student'):
            assert all(runs[role] == found[0][role] for runs in found)
        assert len({runs['distilled'].folder for runs in found}) == len(found)


def test_masks_of_the_student_come_in_as_late_in_a_shorter_run():
    def share(length):
        plans = planned(studies.SHAPES, method='maskd', length=length)
        run = [*plans.values()][-1]['distilled']
        key = 'model.terms.maskd.loss.custom_mask_warmup'
        return run.options[key] / run.length

    assert share(0.5) == pytest.approx(share(1), rel=0.1)


@pytest.mark.parametrize('every', EVERY)
def test_detectors_start_from_segmentors_of_their_width(every):
    segmentors, detectors = planned(every, method='cwd').values()
    for role, run in detectors.items():
        source = segmentors['teacher' if role == 'teacher' else 'student']
        assert source.checkpoint in run.after
        model = config_of(run).model
        backbone = model.get('student', model).backbone
        assert backbone.init_cfg.to_dict() == dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint=source.checkpoint,
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
    def train(runs, progress, slots):
        told.append(slots)

    told = []
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    if own:
        monkeypatch.setenv('OMP_NUM_THREADS', own)
    monkeypatch.setattr(steps, 'train_all', train)
    monkeypatch.setattr(steps, 'get_device', lambda: 'cpu')
    monkeypatch.setattr(provenance.os, 'cpu_count', lambda: 64)
    monkeypatch.setattr(
        provenance.os, 'sched_getaffinity', lambda _: usable, raising=False
    )
    steps._train([], steps.Console(quiet=True))
    assert told == [[{} if own else dict(OMP_NUM_THREADS=each)] * at_once]


def test_an_unfinished_data_set_is_not_taken(tmp_path, monkeypatch):
    def interrupted(folder):
        folder.mkdir(parents=True)
        raise KeyboardInterrupt('by the user')

    monkeypatch.setattr(steps, 'write_dataset', interrupted)
    with pytest.raises(KeyboardInterrupt, match='by the user'):
        steps._draw_pictures(tmp_path / 'data', steps.Console(quiet=True))
    assert not (tmp_path / 'data').exists()
    monkeypatch.setattr(steps, 'write_dataset', lambda folder: folder.mkdir())
    steps._draw_pictures(tmp_path / 'data', steps.Console(quiet=True))
    assert [path.name for path in tmp_path.iterdir()] == ['data']
