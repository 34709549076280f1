"""Wheels and sdists, built from a copy of what packaging reads."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ('mmdistill_dense', 'tools', 'configs')
FILES = ('setup.py', 'pyproject.toml', 'MANIFEST.in', 'LICENSE')
JUNK = shutil.ignore_patterns('__pycache__')


def copy_checkout(target: Path) -> Path:
    """The parts of this checkout that packaging reads."""
    for name in PARTS:
        shutil.copytree(ROOT / name, target / name, ignore=JUNK)
    for name in (*FILES, 'model-index.yml'):
        shutil.copy(ROOT / name, target)
    return target


def start(hook: str, source: Path, out: Path) -> subprocess.Popen:
    """Call a PEP 517 hook as pip does, in the checkout."""
    code = f'from setuptools import build_meta as b; b.{hook}({str(out)!r})'
    return subprocess.Popen(
        [sys.executable, '-c', code],
        cwd=source,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def build(hook: str, source: Path, out: Path) -> Path:
    """Run a hook to its end; return the archive it wrote."""
    process = start(hook, source, out)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    (archive,) = out.iterdir()
    return archive
