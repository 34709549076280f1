"""The package's order: imports point down, files and functions are short.

The floors are those of ``docs/concepts.md``; what is read here are syntax
trees, so an import inside a function counts too.
"""

import ast
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'mmdistill_dense'
NAME = PACKAGE.name
FILES = sorted(
    path for path in PACKAGE.rglob('*.py') if '.mim' not in path.parts
)
ANYWHERE = {'numpy', 'torch'}
#: Folder or file: what it may import of us, and from outside (the standard
#: library always). The most specific entry counts.
FLOORS = {
    'functional': (['kernels'], {'torch'}),
    'kernels': ([], {'torch', 'triton'}),
    'recorders': ([], {'torch'}),
    'registry': ([], {'mmengine'}),
    'version': ([], set()),
    'compat': ([], {'mmengine', *ANYWHERE}),
    'models.tokens': (['functional', 'models.hosts'], {'torch'}),
    'models.losses': (
        ['functional', 'registry', 'models.hosts', 'models.tokens'],
        {'torch'},
    ),
    'models.connectors': (
        ['functional', 'registry'],
        {'mmcv', 'mmengine', 'torch'},
    ),
    'models.hosts': (
        ['functional', 'recorders', 'registry', 'compat'],
        {'mmcv', 'mmengine', *ANYWHERE},
    ),
    'models.teachers': (
        ['functional', 'recorders', 'registry', 'compat', 'models.hosts'],
        {'mmengine', *ANYWHERE},
    ),
    # Losses and connectors come through the registry.
    'models.distillers': (
        [
            'functional',
            'recorders',
            'registry',
            'compat',
            'models.hosts',
            'models.teachers',
            'models.tokens',
            'models.losses.weight',
        ],
        {'mmengine', *ANYWHERE},
    ),
    'models.backbones': (['registry'], {'torch'}),
    'models.preprocessors': (['registry'], {'mmengine', 'torch'}),
    'models.classifiers': (
        ['registry', 'models.hosts'],
        {'mmengine', 'torch'},
    ),
    'models.learners': (
        ['functional', 'registry', 'models.hosts', 'models.teachers'],
        {'mmengine', 'torch'},
    ),
    'models': (
        [
            'models.backbones',
            'models.classifiers',
            'models.connectors',
            'models.distillers',
            'models.learners',
            'models.losses',
            'models.preprocessors',
        ],
        set(),
    ),
    'engine': (
        [
            'functional',
            'recorders',
            'registry',
            'compat',
            'models',
            'visualization',
        ],
        {'mmengine', 'rich', 'onnxruntime', *ANYWHERE},
    ),
    'datasets': (
        ['functional', 'registry', 'compat'],
        {'mmcv', 'mmengine', 'cv2', 'pycocotools', *ANYWHERE},
    ),
    'visualization': (
        ['functional', 'recorders', 'registry', 'compat', 'models'],
        {'mmengine', 'cv2', 'matplotlib', *ANYWHERE},
    ),
    'documents': ([], set()),
    'benchmark': (
        ['compat', 'documents', 'engine', 'functional', 'models'],
        {'mmengine', 'matplotlib', 'rich', *ANYWHERE},
    ),
    # The only place that knows the peer; it is imported where asked for.
    'benchmark.peer': (['benchmark'], {'mmengine', 'mmrazor', *ANYWHERE}),
    'study': (
        ['compat', 'documents', 'engine', 'visualization'],
        {'mmengine', 'cv2', 'rich', 'yaml', *ANYWHERE},
    ),
    'demo': (
        ['compat', 'datasets', 'engine', 'visualization'],
        {'mmengine', 'cv2', 'rich', *ANYWHERE},
    ),
    '': (['compat', 'version'], set()),
}


def module_of(path):
    """Dotted name below the package; '' for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix('').parts
    return '.'.join(part for part in parts if part != '__init__')


def below(name, folder):
    return not folder or name == folder or name.startswith(f'{folder}.')


def floor_of(name):
    if not name:
        return ''
    floors = [f for f in FLOORS if f and below(name, f)]
    assert floors, f'{name} lies on no floor: give it one in FLOORS'
    return max(floors, key=len)


def imports(path, tree):
    """Absolute dotted names of everything that a file imports."""
    package = [NAME, *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = []
            if node.level:
                start = package[: len(package) - node.level + 1]
            base = '.'.join([*start, *filter(None, [node.module])])
            for alias in node.names:
                full = f'{base}.{alias.name}'
                yield full if is_module(full) else base


def is_module(name):
    if not below(name, NAME):
        return False
    path = PACKAGE.joinpath(*name.split('.')[1:])
    return path.with_suffix('.py').is_file() or path.is_dir()


def offences(path, tree):
    """Imports of a file that its floor does not allow."""
    here = floor_of(module_of(path))
    ours, others = FLOORS[here]
    for name in imports(path, tree):
        top = name.partition('.')[0]
        if top == NAME:
            target = name.partition('.')[2]
            inside = here and below(target, here)
            allowed = any(below(target, floor) for floor in ours)
            if not (inside or allowed):
                yield name
        elif top not in others and top not in sys.stdlib_module_names:
            yield name


def parsed(path):
    return ast.parse(path.read_text(encoding='utf-8'))


def test_the_package_is_there_to_be_read():
    assert len(FILES) > 30


@pytest.mark.parametrize('path', FILES, ids=module_of)
def test_imports_point_down(path):
    assert list(offences(path, parsed(path))) == []


@pytest.mark.parametrize(
    ('file', 'line'),
    [
        ('functional/spatial.py', 'import mmengine'),
        ('functional/spatial.py', 'from ..recorders import Recorder'),
        ('recorders/paths.py', 'from mmdistill_dense.models import hosts'),
        (
            'models/hosts/probe.py',
            'from mmdet.structures import DetDataSample',
        ),
        ('models/hosts/probe.py', 'from ..teachers import FrozenTeacher'),
        ('models/losses/weight.py', 'from ..connectors import ConvConnector'),
        ('models/teachers/frozen.py', 'from .. import distillers'),
        ('models/distillers/term.py', 'from ..losses import ChannelWiseLoss'),
        ('models/distillers/term.py', 'def f():\n    import mmseg'),
        ('compat.py', 'from tools import train'),
        ('registry.py', 'from . import engine'),
    ],
)
def test_an_import_that_points_up_is_seen(file, line):
    assert list(offences(PACKAGE / file, ast.parse(line)))


@pytest.mark.parametrize('path', FILES, ids=module_of)
def test_hosts_are_imported_nowhere(path):
    tops = {name.partition('.')[0] for name in imports(path, parsed(path))}
    assert not tops & {'mmdet', 'mmseg', 'tools', 'configs', 'tests'}


@pytest.mark.parametrize('path', FILES, ids=module_of)
def test_files_and_functions_are_short(path):
    text = path.read_text(encoding='utf-8')
    assert len(text.splitlines()) <= 250
    long = [
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno - node.lineno + 1 > 80
    ]
    assert long == []
