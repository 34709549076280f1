"""The documentation builds, and its reference is complete."""

import ast
import subprocess
import sys

import pytest
from mmengine.registry import Registry

from mmdistill_dense import registry

from .blocks import ROOT

PACKAGE = ROOT / 'mmdistill_dense'
pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def html(tmp_path_factory):
    """The pages, built as ``make docs`` does."""
    out = tmp_path_factory.mktemp('html')
    options = ['-W', '--keep-going', '-q', '-b', 'html', '-d', f'{out}.cache']
    done = subprocess.run(
        [sys.executable, '-m', 'sphinx', *options, '-c', 'docs', '.', out],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope='module')
def reference(html):
    return (html / 'docs' / 'api.html').read_text('utf-8')


def test_every_page_is_there(html):
    built = {path.stem for path in (html / 'docs').glob('*.html')}
    assert built == {path.stem for path in ROOT.glob('docs/*.md')}
    assert 'docs/index.html' in (html / 'index.html').read_text('utf-8')


def public():
    """Functions and classes in ``__all__`` of every module."""
    for path in sorted(PACKAGE.rglob('*.py')):
        place = path.relative_to(ROOT).with_suffix('').parts
        module = '.'.join(part for part in place if part != '__init__')
        for node in ast.parse(path.read_text('utf-8')).body:
            if isinstance(node, ast.Assign) and '__all__' in {
                target.id
                for target in node.targets
                if isinstance(target, ast.Name)
            }:
                yield from (
                    f'{module}.{name}'
                    for name in ast.literal_eval(node.value)
                    if not name.isupper() and name != '__version__'
                )


def test_every_public_name_is_in_the_reference(reference):
    names = list(public())
    assert len(names) > 25
    missing = [n for n in names if f'id="{n}"' not in reference]
    assert missing == []


def test_everything_registered_is_in_the_reference(reference):
    kinds = [r for r in vars(registry).values() if isinstance(r, Registry)]
    own = [r for r in kinds if r.scope == 'mmdistill_dense']
    for kind in own:
        kind.import_from_location()
    names = [name for kind in own for name in kind.module_dict]
    assert len(names) >= 4
    assert [n for n in names if f'.{n}"' not in reference] == []
