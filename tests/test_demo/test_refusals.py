"""What the demo refuses before it writes anything, and how it ends."""

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from mmdistill_tools.demo import DemoError, settings, steps
from mmdistill_tools.demo.settings import Settings, check_settings
from mmdistill_tools.runs import lock
from mmdistill_tools.study import StudyError
from mmdistill_tools.study.folders import locked

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools' / 'demo.py'


@pytest.fixture
def camvid(tmp_path):
    """An empty file wherever one is looked for."""
    root = tmp_path / 'camvid'
    for name in settings.REQUIRED_FILES:
        path = root / name.replace('*', '0')
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_a_camvid_folder_is_taken(camvid):
    settings.check_camvid(camvid)


@pytest.mark.parametrize('name', settings.REQUIRED_FILES)
def test_what_a_folder_lacks_is_named(camvid, name):
    (camvid / name.replace('*', '0')).unlink()
    match = rf'lacks {re.escape(name)}\. .*configs/camvid/README\.md'
    with pytest.raises(DemoError, match=match):
        settings.check_camvid(camvid)


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(DemoError, match='nowhere is no folder'):
        settings.check_camvid(tmp_path / 'nowhere')


@pytest.mark.parametrize('length', [0, -1, float('nan'), float('inf')])
def test_a_length_that_is_none_is_refused(tmp_path, length):
    match = f'--length must be more than 0 and finite, got {length:g}:'
    with pytest.raises(DemoError, match=match):
        check_settings(Settings(tmp_path / 'x', length=length))
    assert not (tmp_path / 'x').exists()


def test_a_folder_of_other_data_is_refused(tmp_path, camvid):
    work_dir = tmp_path / 'demo'
    check_settings(Settings(work_dir, camvid, seed=1))
    # The same one goes on, and other seeds beside it.
    check_settings(Settings(work_dir, camvid, seed=2))
    with pytest.raises(DemoError, match=f'holds a demo with --data {camvid}'):
        check_settings(Settings(work_dir))


def test_two_calls_at_once_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, 'LOCK_TIMEOUT', 0)
    with locked(tmp_path, 'demo'):
        match = f'{tmp_path} is in use by another demo, or by'
        with pytest.raises(StudyError, match=match), locked(tmp_path, 'demo'):
            pytest.fail('both at once')
    with locked(tmp_path, 'demo'):
        pass


@pytest.mark.parametrize(
    'content', [b'', b'{"data": nu', b'\xff\xfe', b'[]', b'{}']
)
def test_settings_that_cannot_be_read_are_named(tmp_path, content):
    path = tmp_path / 'settings.json'
    path.write_bytes(content)
    match = rf'{path} cannot be read .* Remove it if the runs beside it'
    with pytest.raises(DemoError, match=match):
        check_settings(Settings(tmp_path))


def test_interrupted_settings_are_written_again(tmp_path, monkeypatch):
    def cut(path, text, **_):
        path.write_bytes(text[:5].encode())
        raise KeyboardInterrupt('by the user')

    with monkeypatch.context() as patch:
        patch.setattr(Path, 'write_text', cut)
        with pytest.raises(KeyboardInterrupt, match='by the user'):
            check_settings(Settings(tmp_path))
    check_settings(Settings(tmp_path))
    (path,) = tmp_path.iterdir()
    assert json.loads(path.read_text()) == dict(data=None)


@pytest.mark.parametrize('name', ['file', 'file/below'])
def test_a_work_dir_that_cannot_be_made_is_named(tmp_path, name):
    (tmp_path / 'file').write_text('kept')
    match = rf'--work-dir {tmp_path / name} cannot be used: .*Errno'
    with pytest.raises(DemoError, match=match):
        check_settings(Settings(tmp_path / name))
    assert (tmp_path / 'file').read_text() == 'kept'


@pytest.mark.parametrize('character', [' ', ',', '"', "'", '\\'])
def test_a_work_dir_that_options_would_split_is_refused(tmp_path, character):
    folder = tmp_path / f'my{character}demo'
    match = rf'--work-dir .* has {re.escape(repr(character))} in it'
    with pytest.raises(DemoError, match=match):
        check_settings(Settings(folder))
    assert not folder.exists()


def test_folders_above_a_relative_work_dir_may_have_spaces(
    tmp_path, monkeypatch
):
    above = tmp_path / 'my, projects'
    above.mkdir()
    monkeypatch.chdir(above)
    check_settings(Settings(Path('demo')))
    assert (above / 'demo' / 'settings.json').exists()


@pytest.mark.parametrize('option', ['--data', '--work-dir'])
def test_a_data_root_that_configs_cannot_hold_is_refused(
    tmp_path, monkeypatch, option
):
    above = tmp_path / "it's"
    above.mkdir()
    monkeypatch.chdir(above)
    data = Path('camvid') if option == '--data' else None
    with pytest.raises(DemoError, match=rf'^{option} {above}.* has "\'"'):
        check_settings(Settings(Path('demo'), data))
    assert not list(above.iterdir())


def test_a_wrong_folder_ends_the_tool_in_a_sentence(tmp_path):
    done = subprocess.run(
        [sys.executable, TOOL, '--data', tmp_path],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f'demo: --data {tmp_path} lacks images/')
    assert not list(tmp_path.iterdir())


def test_an_interrupt_ends_the_tool_in_a_sentence(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, 'run_demo', interrupted)
    monkeypatch.setattr('signal.signal', lambda *_: None)
    monkeypatch.setattr('warnings.filterwarnings', lambda *_, **__: None)
    monkeypatch.setattr(sys, 'argv', ['demo.py'])
    with pytest.raises((SystemExit, KeyboardInterrupt), match='130'):
        runpy.run_path(str(TOOL), run_name='__main__')
    (line,) = capsys.readouterr().err.splitlines()
    assert line == 'demo: interrupted; the same command goes on where it was.'


@pytest.mark.parametrize(
    ('options', 'folder'),
    [
        ([], 'work_dirs/demo'),
        (['--method', 'maskd'], 'work_dirs/demo'),
        (['--method', 'pcd'], 'work_dirs/demo'),
        (['--data', 'camvid'], 'work_dirs/demo_camvid'),
        (['--data', 'camvid', '--work-dir', 'here'], 'here'),
    ],
)
def test_camvid_has_a_work_dir_of_its_own(options, folder, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['demo.py', *options])
    args = runpy.run_path(str(TOOL))['parse_args']()
    assert args.work_dir == Path(folder)
