"""Tables in documents, and figures, from results made up by hand."""

import json
import re
import runpy
import signal
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest

from mmdistill_tools.study import StudyError, outputs
from mmdistill_tools.study.definition import read_study
from mmdistill_tools.study.results import Result, ResultsFile
from mmdistill_tools.study.tables import TABLES, class_gains

from ..helpers.rules import for_each

ROOT = Path(__file__).parents[2]
STUDY = """
title: two rows
metrics: {mIoU: mIoU, aAcc: accuracy}
baseline: student
seeds: [0, 1]
work_dir: WORK
rows:
  teacher: {config: a.py, title: the teacher, seeds: [0]}
  student: {config: a.py, title: the student}
  cwd: {config: b.py, title: CWD}
  later: {config: c.py, title: not yet run}
"""
SCORES = {
    ('teacher', 0): 40.0,
    ('student', 0): 30.0,
    ('student', 1): 32.0,
    ('cwd', 0): 33.0,
    ('cwd', 1): 37.0,
}


def result(row, seed, score):
    return Result(
        row=row,
        seed=seed,
        scores=dict(mIoU=score, aAcc=2 * score),
        classes=dict(car=score + 1, sky=score - 1, boat=None),
        length=1200,
        parameters=1_230_000,
        flops=4_560_000_000,
        train_seconds=60.0 * (seed + 1),
        peak_mib=None if row == 'teacher' else 1500.2,
        starts=1,
        command=f'python tools/train.py {row}.py --seed {seed}',
        commit='abc',
        versions=dict(torch='2.13.0'),
        machine=dict(processor='a processor', cores=2, runs_at_once=1),
        ended='2026-01-01T00:00:00Z',
    )


@pytest.fixture
def study(tmp_path):
    path = tmp_path / 'study.yaml'
    path.write_text(STUDY.replace('WORK', str(tmp_path / 'work')))
    runs = [asdict(result(*key, score)) for key, score in SCORES.items()]
    (tmp_path / 'study.json').write_text(json.dumps(dict(runs=runs)))
    return read_study(path)


@pytest.fixture
def results(study):
    return ResultsFile(study.results)


def cells(table):
    rows = (line.strip('| ').split(' | ') for line in table.splitlines())
    return {row[0]: row[1:] for row in rows}


def test_scores_and_paired_gains(study, results):
    lines = cells(TABLES['scores'](study, results))
    assert lines['the student'][:2] == ['31.00 ± 1.41', '']
    # Gains of 3 and 5: mean 4, deviation 1.41, over the root of 2.
    assert lines['CWD'][:2] == ['35.00 ± 2.83', '+4.00 ± 1.00']
    assert lines['CWD'][2:] == ['70.00 ± 5.66', '+8.00 ± 2.00', '2']


def test_a_row_with_other_seeds_has_no_gain(study, results):
    lines = cells(TABLES['scores'](study, results))
    assert lines['the teacher'] == ['40.00', '', '80.00', '', '1']
    assert 'not yet run' not in lines


def test_a_row_of_another_task_has_columns_of_its_own(study, results):
    rows = study.rows
    cwd = replace(rows['cwd'], metrics={'coco/bbox_mAP': 'box AP'})
    both = replace(study, rows={**rows, 'cwd': cwd})
    for found in results.results:
        if found.row == 'cwd':
            found.scores['coco/bbox_mAP'] = found.scores.pop('mIoU')
            found.scores.pop('aAcc')
    lines = TABLES['scores'](both, results).splitlines()
    header, line = lines[0], lines[-1]
    # And none over the student, which has no score to compare it with.
    assert header == '|  | mIoU | accuracy | box AP | n |'
    assert line == '| CWD |  |  | 35.00 ± 2.83 | 2 |'
    assert class_gains(both, results) == {}
    assert len(outputs.draw_figures(both, results)) == 1


def test_classes_and_their_gains(study, results):
    assert class_gains(study, results) == {'CWD': dict(car=4.0, sky=4.0)}
    lines = cells(TABLES['classes'](study, results))
    assert lines['car'] == ['32.0', '+4.0']
    assert 'boat' not in lines  # no image has one


def test_costs_are_ranges_over_runs(study, results):
    lines = cells(TABLES['costs'](study, results))
    assert lines['CWD'] == ['1,200', '1.0-2.0', '1,500', '1.23 M', '4.56 G']
    assert lines['the teacher'][:3] == ['1,200', '1.0', '']


@pytest.fixture
def prepared(study, results):
    """The same study with a row that is not scored, and its results."""
    path = study.results.with_name('study.yaml')
    row = '  pre: {config: p.py, title: first, seeds: [0], scored: false}\n'
    path.write_text(path.read_text() + row)
    unscored = result('pre', 0, 0.0)
    for key in (unscored.scores, unscored.classes):
        key.clear()
    results.add(replace(unscored, parameters=0, flops=0))
    return read_study(path), results


def test_what_only_prepares_others_has_costs_and_no_scores(prepared):
    tables = {name: make(*prepared) for name, make in TABLES.items()}
    for name in ('scores', 'classes'):
        assert 'first' not in tables[name]
    # Neither parameters nor FLOPs.
    assert cells(tables['costs'])['first'] == ['1,200', '1.0', '1,500']
    assert 'tools/train.py pre.py --seed 0' in tables['commands']
    assert len(outputs.draw_figures(*prepared)) == 2
    assert outputs.write_report(*prepared).exists()


def test_commands_and_origin(study, results):
    commands = TABLES['commands'](study, results)
    assert '```shell\npython tools/train.py cwd.py --seed 0\n```' in commands
    (line,) = TABLES['origin'](study, results).splitlines()
    assert line.startswith('- 5 of the runs: 2 cores of a processor, no GPU')
    assert line.endswith('commit abc')


def document(tmp_path, table='scores', name='study.yaml'):
    path = tmp_path / 'page.md'
    path.write_text(
        f'# Page\n\n<!-- study: {name} {table} -->\nold\n'
        '<!-- end of study -->\n\nText below.\n'
    )
    return path


@pytest.mark.parametrize('table', TABLES)
def test_a_document_gets_its_tables(study, results, tmp_path, table):
    path = document(tmp_path, table)
    assert outputs.update_document(path, tmp_path)
    text = path.read_text()
    assert TABLES[table](study, results) in text
    assert 'old' not in text
    assert text.startswith('# Page')
    assert text.endswith('Text below.\n')
    assert not outputs.update_document(path, tmp_path)


def test_a_document_may_have_several_blocks(study, tmp_path):
    path = document(tmp_path)
    path.write_text(path.read_text() + document(tmp_path, 'costs').read_text())
    outputs.update_document(path, tmp_path)
    assert path.read_text().count('Text below.') == path.read_text().count(
        '<!-- end of study -->'
    )


@pytest.mark.parametrize(
    ('table', 'name', 'message'),
    [
        ('scored', 'study.yaml', "table 'scored' of study.yaml. Expected one"),
        ('scores', 'other.yaml', 'other.yaml cannot be read as a study'),
    ],
)
def test_a_wrong_block_is_named(study, tmp_path, table, name, message):
    path = document(tmp_path, table, name)
    before = path.read_text()
    with pytest.raises(StudyError, match=re.escape(message)):
        outputs.update_document(path, tmp_path)
    assert path.read_text() == before


def test_a_document_without_a_block_is_named(tmp_path):
    path = tmp_path / 'page.md'
    path.write_text('# Nothing\n')
    with pytest.raises(StudyError, match='0 tables begin'):
        outputs.update_document(path, tmp_path)
    with pytest.raises(StudyError, match='cannot be read'):
        outputs.update_document(tmp_path / 'none.md', tmp_path)


def test_a_block_without_an_end_is_named(study, tmp_path):
    path = tmp_path / 'page.md'
    path.write_text('<!-- study: study.yaml scores -->\nprecious text\n')
    with pytest.raises(StudyError, match=r'1 tables begin .* 0 end'):
        outputs.update_document(path, tmp_path)


def test_the_report_has_every_table(study, results):
    text = outputs.write_report(study, results).read_text()
    for make in TABLES.values():
        assert make(study, results) in text


def test_figures_are_drawn_beside_the_results(study, results):
    drawn = outputs.draw_figures(study, results)
    assert [path.name for path in drawn] == [
        'study_scores.png',
        'study_classes.png',
    ]
    for path in drawn:
        assert path.parent == study.results.parent
        assert cv2.imread(str(path)).std() > 5


def test_examples_of_what_is_not_trained_are_refused(study):
    with pytest.raises(StudyError, match=r"'cwt' is no row with .* teacher,"):
        outputs.trained_entry(study, 'cwt', [])


def test_images_that_are_not_there_are_refused(study, monkeypatch):
    nothing = [], dict(palette=[])
    monkeypatch.setattr(outputs, 'plan_study', lambda study: [])
    monkeypatch.setattr(
        outputs, 'trained_entry', lambda *_: SimpleNamespace(run=0)
    )
    monkeypatch.setattr(outputs, 'predictions_of', lambda *_: nothing)
    with pytest.raises(StudyError, match=r'images \[999\] only 0 are there'):
        outputs.draw_examples(study, ['cwd'], [999])


@pytest.fixture
def tool(study, tmp_path, monkeypatch, capsys):
    """``tools/study.py`` on the study; returns what it printed."""
    script = str(ROOT / 'tools' / 'study.py')
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        called = [script, 'study.yaml', *arguments]
        monkeypatch.setattr(sys, 'argv', called)
        runpy.run_path(script, run_name='__main__')
        return capsys.readouterr().out

    yield run
    signal.signal(signal.SIGTERM, handler)


def test_the_tool_reports_what_is_there(tool, study, results, tmp_path):
    page = document(tmp_path)
    printed = tool('--report', '--documents', 'page.md')
    table = TABLES['scores'](study, results)
    assert table in printed
    assert table in page.read_text()
    assert (tmp_path / 'work' / 'report.md').exists()
    assert 'study_scores.png' in printed
    assert 'page.md' not in tool('--report', '--documents', 'page.md')


def test_the_tool_has_nothing_to_report(tool, study):
    study.results.unlink()
    with pytest.raises(SystemExit, match=r'study\.json has no results yet'):
        tool('--report')


PAGES = [
    path
    for path in (ROOT / 'README.md', *sorted(ROOT.glob('docs/*.md')))
    if outputs.BLOCK.search(path.read_text(encoding='utf-8'))
]


def test_there_are_pages_with_results():
    assert ROOT / 'README.md' in PAGES


@for_each(PAGES)
def test_shipped_tables_are_those_of_their_results(page, tmp_path):
    copy = tmp_path / page.name
    copy.write_text(page.read_text(encoding='utf-8'), encoding='utf-8')
    changed = outputs.update_document(copy, ROOT)
    assert not changed, (
        f'{page.name} differs from its results: run tools/study.py '
        f'STUDY.yaml --report --documents {page.name}'
    )


def test_rows_that_the_readme_quotes_are_those_of_the_results():
    """The README has three rows of a long table, its own block aside."""
    readme = (ROOT / 'README.md').read_text('utf-8')
    rows = outputs.BLOCK.sub('', readme).splitlines()
    rows = [line for line in rows if ' ± ' in line and line.startswith('|')]
    assert len(rows) == 3
    results = (ROOT / 'docs' / 'results.md').read_text('utf-8').splitlines()
    assert set(rows) <= set(results)
