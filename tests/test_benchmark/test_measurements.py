"""The results file."""

import json

import pytest

from mmdistill_tools.benchmark import BenchmarkError
from mmdistill_tools.benchmark.measurements import read_report

from . import samples


def test_a_report_comes_back_as_it_was(tmp_path):
    path = tmp_path / 'new' / 'x.json'
    written = samples.report(
        samples.step_section(),
        samples.memory_section(),
        samples.loss_section(),
        samples.scaling_section(),
    )
    written.write(path)
    assert read_report(path) == written
    # Every single time is in it.
    (row,) = [
        row
        for row in json.loads(path.read_text())['sections'][0]['rows']
        if row['name'] == 'mmdistill_dense'
    ]
    assert row['seconds'] == samples.STEPS['mmdistill_dense']


def test_claims_of_earlier_files_are_ignored(tmp_path):
    path = tmp_path / 'x.json'
    written = samples.report(samples.step_section())
    written.write(path)
    found = json.loads(path.read_text())
    found['sections'][0]['claims'] = [dict(what='kd / floor', kind='time')]
    path.write_text(json.dumps(found))
    assert read_report(path) == written


def test_a_row_that_is_not_there_is_named():
    with pytest.raises(BenchmarkError, match=r"no row 'other', only: stud"):
        samples.step_section().row('other')


@pytest.mark.parametrize('text', ['', '{}', '{"sections": [{}]}', '[]'])
def test_another_file_is_refused(tmp_path, text):
    path = tmp_path / 'x.json'
    path.write_text(text)
    with pytest.raises(BenchmarkError, match='cannot be read as results'):
        read_report(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BenchmarkError, match=r'none\.json cannot be read'):
        read_report(tmp_path / 'none.json')


def test_labels_of_earlier_files_become_the_packages_name(tmp_path):
    path = tmp_path / 'x.json'
    written = samples.report(samples.step_section(), samples.scaling_section())
    written.write(path)
    text = path.read_text()
    label = '"' + 'our' + 's'
    old = text.replace('"mmdistill_dense', label)
    assert old.count(label) > 2
    path.write_text(old)
    assert read_report(path) == written
