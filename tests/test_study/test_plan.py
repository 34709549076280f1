"""From rows to trainings."""

import pytest

from mmdistill_tools.runs import TrainingError
from mmdistill_tools.study import StudyError
from mmdistill_tools.study.plan import plan_study

from .conftest import CONFIG


def test_what_others_wait_for_comes_first_seed_by_seed(plan, content):
    content['seeds'] = [4, 1]
    content['rows']['teacher']['seeds'] = [7]
    assert list(plan(content)) == [
        ('teacher', 7),
        ('distilled', 1),
        ('student', 1),
        ('distilled', 4),
        ('student', 4),
    ]


@pytest.mark.parametrize('seeds', [[7], [1, 2]])
def test_a_reference_is_of_the_same_seed_or_the_only_one(plan, content, seeds):
    content['seeds'] = [1, 2]
    content['rows']['teacher']['seeds'] = seeds
    entries = plan(content)
    for seed in (1, 2):
        teacher = entries['teacher', seed if seed in seeds else 7].run
        run = entries['distilled', seed].run
        assert run.options['model.teacher.checkpoint'] == str(
            teacher.checkpoint
        )
        assert run.after == (teacher.checkpoint,)


def test_a_run_is_what_train_py_gets(plan, content, tmp_path):
    content['rows']['student']['options'] = {
        'optim_wrapper.optimizer.lr': '1e-3',
        'model.sizes': [1, [2, 3]],
        'model.name': 'a',
        'default_hooks.checkpoint.save_best': None,
    }
    run = plan(content)['student', 0].run
    folder = tmp_path / 'work' / 'student' / 'seed_0'
    assert run.title == 'student, seed 0'
    assert run.arguments() == [
        *(str(tmp_path / 'some.py'), '--work-dir', str(folder), '--resume'),
        *('--cfg-options', 'randomness.seed=0'),
        'default_hooks.checkpoint.save_best=None',
        *('model.name=a', 'model.sizes=[1, [2, 3]]'),
        'optim_wrapper.optimizer.lr=1e-3',
    ]
    assert run.checkpoint == folder / 'iter_4.pth'


def test_a_finished_model_is_what_others_get(plan, content, tmp_path):
    weights = tmp_path / 'teacher.pth'
    weights.touch()
    content['rows']['teacher'].update(checkpoint='teacher.pth', length=3)
    content['seeds'] = [0, 1]
    entries = plan(content)
    teacher = entries['teacher', 0].run
    assert [key for key in entries if key[0] == 'teacher'] == [('teacher', 0)]
    assert teacher.checkpoint == teacher.pretrained_checkpoint == weights
    assert teacher.options == {}
    for seed in (0, 1):
        run = entries['distilled', seed].run
        assert run.options['model.teacher.checkpoint'] == str(weights)


@pytest.mark.parametrize(
    ('settings', 'unit', 'length'),
    [
        (dict(), 'iter', 4),
        (dict(length=2.5), 'iter', 10),
        (dict(options={'train_cfg.max_iters': 7}), 'iter', 7),
        (dict(options={'train_cfg.max_iters': '1e3'}), 'iter', 1000),
    ],
)
def test_the_end_of_a_run_is_known(plan, content, settings, unit, length):
    content['seeds'] = [0, 1]
    content['rows']['student'].update(settings)
    entries = plan(content)
    run = entries['student', 0].run
    assert (run.unit, run.length) == (unit, length)
    assert entries['teacher', 1].run.length == 4


def test_a_config_may_count_epochs(plan, content, config):
    path = config('epochs', extra='train_cfg = dict(max_epochs=12)\n')
    content['rows']['student']['config'] = path
    run = plan(content)['student', 0].run
    assert run.checkpoint.name == 'epoch_12.pth'
    content['rows']['student']['length'] = 2
    with pytest.raises(TrainingError, match=r'epochs\.py counts epochs'):
        plan(content)


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        ({'model.a': 'x y'}, "model.a='x y' cannot go through --cfg-options"),
        ({'model.a': 'x,y'}, r"which reads \['x', 'y'\]"),
        ({'model.a': '(x,y'}, 'cannot go through'),
        ({'model.a': '"x"'}, "which reads 'x'"),
        ({'model.a': ['x y']}, r"which reads \['xy'\]"),
        ({'model.a': [{'b': 1}]}, 'cannot go through'),
        ({'model.a=b': 1}, 'cannot go through'),
        ({'randomness.seed': 1}, 'randomness.seed is settled by the study'),
        ({'work_dir': 'x'}, 'work_dir is settled by the study'),
        ({'terms.cwd.weight': 1}, "no effect: nothing reads 'terms'"),
        ({'data_root': 'x'}, 'no effect: nothing reads .*such as train_datal'),
        ({'param_scheduler.5.end': 1}, 'its options do not fit .*some.py'),
        ({'train_cfg.max_iters': 2.5}, 'must be a whole number .* got 2.5'),
        ({'train_cfg.max_iters': 'ten'}, "whole number above 0, got 'ten'"),
        ({'train_cfg.max_iters': None}, 'has neither train_cfg.max_iters nor'),
        ({'val_evaluator': None}, 'has no val_evaluator, so that its runs'),
        ({'val_dataloader': None}, 'only prepares others, say scored: false'),
    ],
)
def test_an_option_that_would_not_do_is_refused(plan, content, options, match):
    content['rows']['student']['options'] = options
    with pytest.raises(StudyError, match=f"row 'student':? .*{match}"):
        plan(content)


def test_what_only_prepares_others_needs_no_validation(plan, content, config):
    text = ''.join(
        f'{line}\n'
        for line in CONFIG.splitlines()
        if not line.startswith('val_')
    )
    row = content['rows']['teacher']
    row['config'] = config('unlabelled', text)
    with pytest.raises(StudyError, match='no val_dataloader and no val_eval'):
        plan(content)
    row.update(scored=False, length=2)
    entries = plan(content)
    run = entries['teacher', 0].run
    assert run.length == 8
    assert entries['distilled', 0].run.after == (run.checkpoint,)


def test_length_and_iterations_are_refused_together(plan, content):
    content['rows']['student'].update(
        length=2, options={'train_cfg.max_iters': 7}
    )
    with pytest.raises(StudyError, match='has a length and the option train'):
        plan(content)


def test_a_config_that_is_not_there_is_named(plan, content):
    content['rows']['student']['config'] = 'none.py'
    with pytest.raises(StudyError, match=r"'student': config 'none\.py' does"):
        plan(content)


def test_weights_that_resume_would_leave_out_are_refused(
    plan, content, config
):
    path = config('loaded', extra="load_from = 'coco.pth'\n")
    content['rows']['student']['config'] = path
    with pytest.raises(StudyError, match='has load_from, which runs of a st'):
        plan(content)


def test_a_config_is_read_anew_for_each_plan(read, content, config):
    study = read(content)
    plan_study(study)
    config(extra='train_cfg["max_iters"] = 9\n')
    assert {entry.run.length for entry in plan_study(study)} == {9}
