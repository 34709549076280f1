"""What is missing is run, whatever happens. train.py is a stand-in."""

import json
from pathlib import Path

import pytest
import torch

from mmdistill_tools.runs import lock, process_pool
from mmdistill_tools.study import StudyError, devices, folders, session
from mmdistill_tools.study.results import ResultsFile

from ..helpers.trainings import save
from .conftest import result_of

ALL = ['teacher/0', 'distilled/0', 'student/0']


def trained(call):
    """Runs that came to their end, in their order."""
    words = [event.split() for event in call.events]
    return [run.replace('/seed_', '/') for what, run in words if what == 'end']


def test_all_runs_are_trained_and_measured_once(study, content, results):
    first = study(content)
    assert first.error is None
    assert trained(first) == first.measured == ALL
    assert results() == sorted(ALL)
    assert '3 runs left, unknown time until the first' in first.text
    assert 'teacher, seed 0: mIoU 40.50' in first.text
    assert '2 runs left, about 2 min' in first.text
    second = study(content)
    assert second.error is None
    assert second.events == second.measured == []
    assert '0 runs left, nothing to do' in second.text


def test_runs_go_side_by_side(study, content):
    both = ['start student/seed_0', 'start teacher/seed_0']
    awaited = {'student/seed_0': both, 'teacher/seed_0': both}
    call = study(content, at_once=2, **awaited)
    assert sorted(trained(call)) == sorted(ALL)


def test_a_new_row_and_a_new_seed_are_added(study, content, results):
    study(content)
    content['rows']['other'] = content['rows']['student']
    content['rows']['student'] = dict(content['rows']['student'], seeds=[0, 1])
    assert trained(study(content)) == ['other/0', 'student/1']
    assert results() == sorted([*ALL, 'other/0', 'student/1'])


def test_a_failed_run_stops_only_those_that_wait_for_it(
    study, content, results
):
    call = study(content, failing='teacher')
    assert trained(call) == ['student/0']
    assert results() == ['student/0']
    assert 'teacher, seed 0 failed' in call.text
    assert 'the training of teacher, seed 0 failed: exit code 1' in (
        call.error
    )
    assert 'something went wrong in it' in call.error
    assert (
        'because a run they depend on failed: distilled, seed 0' in call.error
    )
    again = study(content)
    assert again.error is None
    assert trained(again) == ['teacher/0', 'distilled/0']


@pytest.mark.parametrize(
    ('error', 'message'),
    [
        (StudyError('student: no mIoU'), 'student: no mIoU'),
        (KeyError('x'), r"student, seed 0 could not be measured: KeyError('x"),
    ],
)
def test_a_run_that_cannot_be_measured_stops_no_other(
    study, content, results, error, message
):
    def measure(entry):
        if entry.row.name == 'student':
            raise error
        return result_of(entry)

    call = study(content, measure=measure)
    assert message in call.error
    assert results() == ['distilled/0', 'teacher/0']
    again = study(content)
    assert again.error is None
    assert (again.events, again.measured) == ([], ['student/0'])


def test_an_interruption_loses_no_result(study, content, results):
    def measure(entry):
        if entry.row.name == 'distilled':
            raise KeyboardInterrupt('by the user')
        return result_of(entry)

    with pytest.raises(KeyboardInterrupt, match='by the user'):
        study(content, measure=measure)
    assert results() == ['teacher/0']
    again = study(content)
    # What is trained is measured; only the rest is trained.
    assert again.measured == ['distilled/0', 'student/0']
    assert trained(again) == ['student/0']


def test_teachers_that_are_gone_are_trained_for_what_waits(
    study, content, results, tmp_path
):
    study(content, failing='distilled')
    (tmp_path / 'work').rename(tmp_path / 'elsewhere')  # as in a new clone
    before = (tmp_path / 'my_study.json').read_text()
    call = study(content)
    assert trained(call) == ['teacher/0', 'distilled/0']
    assert call.measured == ['distilled/0']
    assert results() == sorted(ALL)
    kept = json.loads(before)['runs']
    now = json.loads((tmp_path / 'my_study.json').read_text())['runs']
    assert [run for run in now if run in kept] == kept
    assert trained(study(content)) == []


def test_a_start_that_nobody_saw_end_is_measured(study, content, tmp_path):
    """The machine went down after the last checkpoint was written."""
    study(content, failing='student')
    folder = tmp_path / 'work' / 'student' / 'seed_0'
    save(folder / 'iter_4.pth')
    path = folder / process_pool.STARTS_FILE
    starts = json.loads(path.read_text())
    starts[-1]['end'] = None
    path.write_text(json.dumps(starts))
    call = study(content)
    assert (call.error, call.measured) == (None, ['student/0'])


def test_a_result_of_other_settings_stops_the_study(study, content):
    study(content)
    content['rows']['student']['options'] = {'model.lr': 2}
    call = study(content)
    assert "row 'student', seed 0 was run with other settings" in call.error
    assert call.events == []


def test_a_run_of_other_settings_is_not_gone_on_with(study, content):
    study(content, failing='student')
    content['rows']['student']['options'] = {'model.lr': 2}
    call = study(content)
    assert 'student/seed_0 contains a run with other settings' in call.error
    assert 'model.lr=2' in call.error
    assert call.events == []


def test_a_row_that_still_waits_may_be_changed(study, content):
    study(content, failing='teacher')
    options = content['rows']['distilled']['options']
    content['rows']['distilled']['options'] = {**options, 'model.lr': 2}
    again = study(content)
    assert again.error is None
    assert trained(again) == ['teacher/0', 'distilled/0']


def test_checkpoints_of_nobody_are_not_taken(study, content, tmp_path):
    folder = tmp_path / 'work' / 'student' / 'seed_0'
    folder.mkdir(parents=True)
    save(folder / 'iter_4.pth')
    call = study(content)
    assert 'contains checkpoints but no command.txt, so' in call.error
    assert call.events == []


def test_a_second_study_is_kept_out(study, content, tmp_path):
    (tmp_path / 'work').mkdir()
    with (tmp_path / 'work' / '.lock').open('w') as other:
        assert lock.acquire_lock(other)
        call = study(content)
    assert 'in use by another study, or by a training process' in call.error
    assert call.events == []
    assert study(content).error is None


def test_a_work_dir_that_cannot_be_written_is_named(study, content, tmp_path):
    (tmp_path / 'work').touch()
    assert 'cannot be written' in study(content).error


@pytest.mark.parametrize(
    ('gpus', 'visible', 'count', 'match'),
    [
        ('0', None, 0, r"no GPU '0': torch sees none at all. Without --gpus"),
        ('2', None, 2, r"no GPU '2'. Expected some of 0, 1, with commas"),
        ('', None, 2, r"no GPU ''. Expected"),
        ('0', '4,5', 2, r"no GPU '0'. Expected some of 4, 5"),
    ],
)
def test_a_gpu_that_is_not_there_is_refused(
    monkeypatch, gpus, visible, count, match
):
    show_gpus(monkeypatch, visible, count)
    with pytest.raises(StudyError, match=match):
        devices.use_gpus([{devices.VISIBLE: gpus}])


@pytest.mark.parametrize(
    ('gpus', 'visible', 'used'),
    [('1', None, [1]), ('5', '4,5', [1]), ('GPU-ab', None, [])],
)
def test_the_first_gpu_of_the_study_measures(monkeypatch, gpus, visible, used):
    show_gpus(monkeypatch, visible, 2)
    taken = []
    monkeypatch.setattr(torch.cuda, 'set_device', taken.append)
    devices.use_gpus([{devices.VISIBLE: gpus}, {devices.VISIBLE: gpus}])
    assert taken == used


def show_gpus(monkeypatch, visible, count):
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: count)
    monkeypatch.delenv(devices.VISIBLE, raising=False)
    if visible is not None:
        monkeypatch.setenv(devices.VISIBLE, visible)


def test_the_command_of_a_run_lies_in_its_folder(study, content, tmp_path):
    study(content)
    path = tmp_path / 'work' / 'student' / 'seed_0' / folders.COMMAND_FILE
    (run,) = [
        run
        for run in json.loads((tmp_path / 'my_study.json').read_text())['runs']
        if run['row'] == 'student'
    ]
    assert Path(path).read_text() == run['command']


def test_where_checkpoints_are_needed_a_lost_one_is_made_again(
    plan, content, tmp_path
):
    entries = list(plan(content).values())
    results = ResultsFile(tmp_path / 'results.json')
    for entry in entries:
        results.add(result_of(entry))
    assert session.entries_to_train(entries, results) == []
    assert session.entries_to_train(entries, results, True) == entries
    for entry in entries[1:]:
        entry.run.checkpoint.parent.mkdir(parents=True)
        torch.save(
            dict(state_dict=dict(weight=torch.zeros(1))), entry.run.checkpoint
        )
    # And one that was cut off.
    entries[1].run.checkpoint.write_bytes(b'PK')
    lost = session.entries_to_train(entries, results, True)
    assert lost == entries[:2]
