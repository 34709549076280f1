"""The results file is whole, and of the study that reads it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmdistill_tools.study import StudyError
from mmdistill_tools.study.results import (
    ResultsFile,
    check_same_command,
    json_safe,
)

from .conftest import result_of


@pytest.fixture
def entries(plan, content):
    return plan(dict(content, seeds=[0, 1]))


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'folder' / 'results.json'


def test_what_was_added_is_read_again(entries, path):
    first = ResultsFile(path)
    assert first.get('student', 0) is None
    for key in (('student', 1), ('distilled', 0), ('student', 0)):
        first.add(result_of(entries[key]))
    second = ResultsFile(path)
    assert second.results == first.results
    assert [(r.row, r.seed) for r in second.results] == [
        ('distilled', 0),
        ('student', 0),
        ('student', 1),
    ]
    assert list(second.by_seed('student')) == [0, 1]
    assert second.get('student', 1) == result_of(entries['student', 1])
    assert [p.name for p in path.parent.iterdir()] == ['results.json']


def test_there_is_never_half_a_file(entries, path, monkeypatch):
    def cut(self, text, **settings):
        write(self, text[:20], **settings)
        raise KeyboardInterrupt('by the user')

    file = ResultsFile(path)
    file.add(result_of(entries['student', 0]))
    before = path.read_text()
    write = Path.write_text
    monkeypatch.setattr(Path, 'write_text', cut)
    with pytest.raises(KeyboardInterrupt, match='by the user'):
        file.add(result_of(entries['student', 1]))
    monkeypatch.setattr(Path, 'write_text', write)
    assert path.read_text() == before
    file.add(result_of(entries['student', 1]))
    assert len(ResultsFile(path).results) == 2


def test_a_result_that_json_cannot_hold_spoils_no_other(entries, path):
    file = ResultsFile(path)
    broken = result_of(entries['student', 0], scores=dict(mIoU=float('nan')))
    with pytest.raises(ValueError, match='nan'):
        file.add(broken)
    file.add(result_of(entries['student', 1]))
    assert [r.seed for r in ResultsFile(path).results] == [1]


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        (lambda text: text[:-30], 'cannot be read as results .*Untermin'),
        (lambda text: '[]', 'cannot be read as results .*version control'),
        (lambda text: '{}', "KeyError.*'runs'"),
        (lambda text: text.replace('"row"', '"raw"'), 'argument .*raw'),
        (lambda text: text.replace('"seed": 0', '"seed": "0"'), 'seed of .*i'),
        (lambda text: text.replace('40.5', '"40,5"'), "mIoU of 'student' mus"),
        (lambda text: double(text), "row 'student', seed 0 comes twice"),
    ],
)
def test_a_file_that_is_no_results_file_is_named(entries, path, change, match):
    ResultsFile(path).add(result_of(entries['student', 0]))
    path.write_text(change(path.read_text()))
    with pytest.raises(StudyError, match=f'(?s)results\\.json .*{match}'):
        ResultsFile(path)


def double(text):
    runs = json.loads(text)['runs']
    return json.dumps(dict(runs=runs * 2))


def test_a_result_of_other_settings_is_refused(entries):
    entry = entries['student', 0]
    result = result_of(entry)
    check_same_command(entry, result)
    assert result.command.startswith('python tools/train.py ')
    other = replace(result, command=f'{result.command} model.lr=2')
    with pytest.raises(
        StudyError,
        match=r"(?s)'student', seed 0 was run with other .*Then: .*lr=2\nNow",
    ):
        check_same_command(entry, other)


def test_classes_that_a_set_lacks_have_no_score():
    scores = dict(sky=90.12345, car=float('nan'))
    assert json_safe(scores) == dict(sky=90.123, car=None)
