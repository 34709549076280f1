"""Set-up files: pins, and refusals that come before anything is made."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from mmengine.utils import digit_version

from .helpers.rules import for_each

ROOT = Path(__file__).resolve().parents[1]
SETUP = ROOT / 'tools' / 'dev' / 'setup.sh'
REQUIREMENTS = sorted((ROOT / 'requirements').glob('*.txt'))


def pins(path: Path) -> list[str]:
    lines = path.read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


def executable(path: Path, text: str) -> str:
    path.write_text(f'#!/bin/sh\n{text}\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def refused(tmp_path):
    """Run setup.sh where it must refuse; return what it printed."""
    venv = tmp_path / 'venv'

    def run(**env: str) -> str:
        done = subprocess.run(
            ['bash', SETUP],
            env={**os.environ, 'VENV': str(venv), **env},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert not (venv / 'bin').exists()
        return done.stderr

    return run


@for_each(REQUIREMENTS)
def test_every_requirement_is_pinned(path):
    pattern = (
        r'[A-Za-z0-9_-]+==[0-9][\w.]*(; (python_version (<|>=) "3\.11"|'
        r'platform_system == "Linux" and platform_machine == "x86_64"))?'
    )
    assert pins(path)
    assert [
        line for line in pins(path) if not re.fullmatch(pattern, line)
    ] == []


def test_files_agree_on_a_version():
    for old_python in (True, False):
        other = 'python_version ' + ('>=' if old_python else '<')
        found: dict[str, set[str]] = {}
        for line in (line for path in REQUIREMENTS for line in pins(path)):
            name, _, version = line.partition(';')[0].partition('==')
            if other not in line:
                found.setdefault(name, set()).add(version)
        assert {k: v for k, v in found.items() if len(v) > 1} == {}


def test_stacks_are_the_versions_that_fit_together():
    stock = pins(ROOT / 'requirements' / 'stock.txt')
    assert {'mmcv==2.1.0', 'mmengine==0.10.7', 'mmdet==3.3.0'} <= set(stock)
    (setuptools,) = (
        line.split('==')[1]
        for line in pins(ROOT / 'requirements' / 'build.txt')
        if line.startswith('setuptools==')
    )
    # mmengine 0.10.7 imports pkg_resources, which went with 82.
    assert digit_version(setuptools) < digit_version('82')


def test_no_name_is_in_both_stacks():
    names = [
        {line.split('==')[0] for line in pins(ROOT / 'requirements' / name)}
        for name in ('stock.txt', 'onedl.txt')
    ]
    assert names[0] & names[1] == {'opencv-python'}


@for_each([*ROOT.glob('tools/**/*.sh'), ROOT / '.ci' / 'run'])
def test_scripts_parse(script):
    assert subprocess.run(['bash', '-n', script]).returncode == 0


def test_unknown_stack_is_refused(refused):
    assert 'STACK=other is unknown: it is stock or onedl' in refused(
        STACK='other'
    )


def test_other_stack_in_the_same_place_is_refused(refused, tmp_path):
    (tmp_path / 'venv').mkdir()
    (tmp_path / 'venv' / '.mmdistill-stack').write_text('stock\n')
    assert 'holds the stock stack' in refused(STACK='onedl')


@pytest.mark.parametrize('version', ['3.9', '3.14'])
def test_unsupported_python_is_refused(version, refused, tmp_path):
    python = executable(tmp_path / 'python', f'echo {version}')
    printed = refused(PYTHON=python)
    assert f'3.13 is needed, but {str(python)!r} is {version}' in ' '.join(
        printed.split()
    )


def test_missing_python_is_refused(refused):
    assert "'no-such-python' does not run" in refused(PYTHON='no-such-python')


def test_missing_compiler_is_refused(refused):
    assert 'no C++ compiler' in refused(CXX='no-such-compiler')


def test_make_alone_lists_the_targets():
    done = subprocess.run(
        ['make', '--no-print-directory'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    listed = [line.split()[0] for line in done.stdout.splitlines()]
    expected = [
        'setup',
        'demo',
        'test',
        'test-docs',
        'test-all',
        'lint',
        'format',
        'docs',
        'wheel',
    ]
    assert listed == ['help', *expected, 'clean']
