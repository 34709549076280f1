"""Studies of earlier versions: read, reported, and gone on with."""

import json
from pathlib import Path
from statistics import mean, stdev

import pytest

WORK = Path('interrupted_work')


@pytest.fixture
def study(saved, monkeypatch):
    """Work in the folder of the studies."""
    monkeypatch.chdir('study')


def results(name):
    """Runs in a results file, by row and seed."""
    runs = json.loads(Path(f'{name}.json').read_text())['runs']
    return {(run['row'], run['seed']): run for run in runs}


def files_below(folder):
    return {
        path: path.read_bytes() for path in folder.rglob('*') if path.is_file()
    }


@pytest.mark.usefixtures('study')
def test_a_report_is_made_from_earlier_results(tool):
    Path('page.md').write_text(
        '<!-- study: finished.yaml scores -->\n<!-- end of study -->\n'
    )
    text = tool(
        'study.py', 'finished.yaml', '--report', '--documents', 'page.md'
    )
    found = results('finished')
    (line,) = (s for s in text.splitlines() if s.startswith('| the student '))
    scores = [found['student', seed]['scores'] for seed in (0, 1)]
    for key in ('mIoU', 'aAcc'):
        values = [score[key] for score in scores]
        assert f'| {mean(values):.2f} ± {stdev(values):.2f} |' in line
    assert line in Path('page.md').read_text()
    report = Path('finished_work/report.md').read_text()
    assert line in report
    for run in found.values():
        if run['seed'] == 0:
            assert run['command'] in report
    (origin,) = (s for s in report.splitlines() if 'of the runs: ' in s)
    assert origin.startswith('- 4 of the runs: ')
    assert origin.endswith(f'commit {run["commit"]}')
    for name in ('scores', 'classes'):
        assert Path(f'finished_{name}.png').exists()


@pytest.mark.usefixtures('study')
def test_a_finished_study_is_not_run_again(tool):
    before = Path('finished.json').read_bytes()
    text = tool('study.py', 'finished.yaml')
    assert '0 runs left, nothing to do' in text
    assert Path('finished.json').read_bytes() == before
    assert not list(Path('finished_work').glob('*/seed_*'))


@pytest.mark.usefixtures('study')
def test_an_interrupted_study_goes_on(tool):
    student, cwd = WORK / 'student/seed_0', WORK / 'cwd/seed_0'
    before, finished = files_below(student), results('interrupted')
    assert finished.keys() == {('student', 0)}
    (checkpoint,) = cwd.glob('iter_*.pth')
    done = int(checkpoint.stem.rpartition('_')[2])
    starts = json.loads((cwd / 'starts.json').read_text())
    text = tool('study.py', 'interrupted.yaml')
    assert '1 runs left' in text
    assert '0 runs left, nothing to do' in text
    # What had ended stays as it was.
    assert files_below(student) == before
    found = results('interrupted')
    assert found.keys() == {('student', 0), ('cwd', 0)}
    assert found['student', 0] == finished['student', 0]
    # The other one went on where it was.
    assert f'resumed epoch: 0, iter: {done}' in (cwd / 'train.log').read_text()
    assert json.loads((cwd / 'starts.json').read_text())[:-1] == starts
    assert found['cwd', 0]['starts'] == len(starts) + 1 == 2
    log = max(cwd.glob('*/vis_data/scalars.json')).read_text()
    assert json.loads(log.splitlines()[0])['step'] == done + 1
    assert found['cwd', 0]['length'] == 60
    assert found['cwd', 0]['scores'].keys() == {'mIoU', 'aAcc'}
    assert Path('interrupted_work/report.md').exists()
