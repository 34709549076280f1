"""The order of library and tools: imports point down, files are short.

The floors are those of ``docs/concepts.md``; what is read here are syntax
trees, so an import inside a function counts too, and one for types.
"""

import ast
import re
import sys
from pathlib import Path

import pytest

from .helpers.rules import for_each

ROOT = Path(__file__).parents[1]
LIBRARY, TOOLS = 'mmdistill_dense', 'mmdistill_tools'
#: Folder in which each package lies.
PLACES = {LIBRARY: ROOT, TOOLS: ROOT / 'tools'}
FILES = sorted(
    path
    for name, place in PLACES.items()
    for path in (place / name).rglob('*.py')
    if '.mim' not in path.parts
)
SCRIPTS = [
    path
    for folder in ('tools', 'tools/dev')
    for path in (ROOT / folder).glob('*.py')
]
ANYWHERE = {'numpy', 'torch'}
#: Module of the library: which others of it may be imported, and what from
#: outside (the standard library always). The most specific entry counts.
FLOORS = {
    'functional': (['kernels'], {'torch'}),
    'kernels': ([], {'torch', 'triton'}),
    'recorders': ([], {'torch'}),
    'registry': ([], {'mmengine'}),
    'version': ([], set()),
    'compat': ([], {'mmengine', *ANYWHERE}),
    'models.losses': (['functional', 'registry'], {'torch'}),
    'models.connectors': (
        ['functional', 'registry'],
        {'mmcv', 'mmengine', 'torch'},
    ),
    'models.utils': (
        ['compat', 'registry'],
        {'mmengine', 'safetensors', *ANYWHERE},
    ),
    'models.hosts': (
        ['functional', 'recorders', 'registry', 'compat', 'models.utils']
        + ['models.losses.inputs'],
        {'mmengine', *ANYWHERE},
    ),
    'models.teachers': (
        ['functional', 'recorders', 'registry', 'compat']
        + ['models.hosts', 'models.utils'],
        {'mmengine', *ANYWHERE},
    ),
    # Losses and connectors come through the registry; what a term calls on
    # its loss is the losses' to say.
    'models.distillers': (
        ['functional', 'recorders', 'registry', 'compat', 'models.hosts']
        + ['models.utils', 'models.losses.base', 'models.losses.inputs']
        + ['models.teachers'],
        {'mmengine', *ANYWHERE},
    ),
    # Its teachers come to the distillers through the registry.
    'models.encoders': (
        ['recorders', 'registry', 'models.hosts']
        + ['models.utils', 'models.teachers'],
        {'mmengine', 'torch'},
    ),
    'models.maskd': (
        ['functional', 'recorders', 'registry', 'models.hosts']
        + ['models.utils', 'models.losses.base', 'models.teachers']
        + ['models.distillers'],
        {'mmengine', *ANYWHERE},
    ),
    'models.maskd.token_pictures': (
        ['models.maskd'],
        {'cv2', 'matplotlib', 'numpy'},
    ),
    'models.pcd': (
        ['functional', 'registry', 'models.hosts', 'models.utils']
        + ['models.teachers', 'models.distillers', 'models.encoders']
        + ['models.losses.temperature_loss'],
        {'mmcv', 'mmengine', *ANYWHERE},
    ),
    'models': (
        ['models.connectors', 'models.distillers', 'models.encoders']
        + ['models.losses', 'models.maskd', 'models.pcd'],
        set(),
    ),
    'hooks': (
        ['functional', 'registry', 'models.utils'],
        {'mmengine', *ANYWHERE},
    ),
    'optimizers': (['registry'], {'mmengine', 'torch'}),
    'metrics': (['functional', 'registry'], {'mmengine', *ANYWHERE}),
    'datasets': (
        ['functional', 'registry', 'compat'],
        {'mmcv', 'mmengine', 'cv2', 'pycocotools', *ANYWHERE},
    ),
    'export': (
        ['compat', 'models'],
        {'mmengine', 'onnxruntime', *ANYWHERE},
    ),
    'inspection': (
        ['compat', 'models', 'recorders', 'registry'],
        {'mmengine', 'rich', 'torch'},
    ),
    'drafting': (
        ['compat', 'inspection', 'models', 'recorders'],
        {'mmengine', 'rich', 'torch'},
    ),
    '': (['compat', 'version'], set()),
}
#: The same for the tools, which may import all of the library.
TOOL_FLOORS = {
    'documents': ([], set()),
    'figures': ([], {'matplotlib', 'numpy'}),
    'overlay': ([], {'cv2', 'mmengine', 'numpy'}),
    'cpu': ([], {'mmengine', 'torch'}),
    'launch': (['cpu'], {'mmengine', 'torch'}),
    'evaluation': ([], {'mmengine'}),
    'two_stages': (['launch', 'runs'], {'mmengine', 'torch'}),
    'token_learners': (['two_stages'], {'mmengine', 'rich', 'torch'}),
    'runs': ([], {'cv2', 'mmengine', 'rich', *ANYWHERE}),
    'benchmark': (
        ['cpu', 'documents', 'runs'],
        {'mmengine', 'matplotlib', 'rich', *ANYWHERE},
    ),
    # The only place that knows the peer; it is imported on request.
    'benchmark.peer': (['benchmark'], {'mmengine', 'mmrazor', *ANYWHERE}),
    'study': (
        ['documents', 'figures', 'launch', 'overlay', 'runs'],
        {'mmengine', 'cv2', 'rich', 'yaml', *ANYWHERE},
    ),
    'demo': (
        ['figures', 'runs', 'study', 'token_learners'],
        {'mmengine', 'cv2', 'rich', *ANYWHERE},
    ),
    '': ([], set()),
}


def module_of(path):
    """Name of the package, and the dotted name below it; '' for itself."""
    name = TOOLS if (ROOT / 'tools') in path.parents else LIBRARY
    parts = path.relative_to(PLACES[name] / name).with_suffix('').parts
    return name, '.'.join(part for part in parts if part != '__init__')


def below(name, folder):
    return not folder or name == folder or name.startswith(f'{folder}.')


def floor_of(package, name):
    """The floor's name, what it may import of its package, and from others."""
    floors = FLOORS if package == LIBRARY else TOOL_FLOORS
    found = [f for f in floors if below(name, f) and bool(f) == bool(name)]
    assert found, f'{package}.{name} lies on no floor: give it one here'
    floor = max(found, key=len)
    return floor, *floors[floor]


def imports(path, tree):
    """Absolute dotted names of everything that a file imports."""
    name, _ = module_of(path)
    package = path.relative_to(PLACES[name]).parent.parts
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
    top = name.partition('.')[0]
    if top not in PLACES:
        return False
    path = PLACES[top].joinpath(*name.split('.'))
    return path.with_suffix('.py').is_file() or any(path.glob('*.py'))


def offences(path, tree):
    """Imports of a file that its floor does not allow."""
    package, module = module_of(path)
    here, inside, outside = floor_of(package, module)
    for name in imports(path, tree):
        top, _, target = name.partition('.')
        if top in PLACES and not is_module(name):
            allowed = False  # it was moved or renamed
        elif top == package:
            allowed = here and below(target, here)
            allowed = allowed or any(below(target, x) for x in inside)
        elif top == LIBRARY:
            allowed = True
        else:
            allowed = top in outside or top in sys.stdlib_module_names
        if not allowed:
            yield name


def parsed(path):
    return ast.parse(path.read_text(encoding='utf-8'))


def test_both_packages_are_there_to_be_read():
    packages = [module_of(path)[0] for path in FILES]
    assert packages.count(LIBRARY) > 30
    assert packages.count(TOOLS) > 30


@for_each(FILES)
def test_imports_point_down(path):
    assert list(offences(path, parsed(path))) == []


def modules_in(cell):
    """As ``models.utils``, for a cell of a table that has `models/utils/`."""
    names = re.findall(r'`([\w/]+?)(?:/|\.py)`', cell)
    return [name.replace('/', '.') for name in names]


def test_the_page_allows_what_these_floors_do():
    """Its table is coarser: how high each folder may reach."""
    page = (ROOT / 'docs' / 'concepts.md').read_text(encoding='utf-8')
    row = r'^\| ([0-6]) \| (.+?) \| .+ \| (.+) \|$'  # of the library
    rows = {
        folder: (int(level), may)
        for level, folders, may in re.findall(row, page, re.MULTILINE)
        for folder in modules_in(folders)
    }
    rows['models'] = 5, 'floors 0-5'  # all of its folders together
    for name in filter(None, FLOORS):
        folder = '.'.join(name.split('.')[:2])  # of models, or its own
        highest = re.search(r'floors? (?:0-)?(\d)', rows[folder][1])
        for target in FLOORS[name][0]:
            level, _ = rows['.'.join(target.split('.')[:2])]
            assert (
                below(target, folder)
                or target in modules_in(rows[folder][1])
                or level <= int(highest[1])
            ), f'{name} -> {target}'
    assert rows.keys() <= FLOORS.keys()


def test_imports_run_in_no_circle():
    """Of files, imports for types included."""
    graph = {
        '.'.join(filter(None, module_of(path))): set(
            imports(path, parsed(path))
        )
        for path in FILES
    }
    while free := {m for m, deps in graph.items() if not deps & graph.keys()}:
        graph = {m: graph[m] for m in graph.keys() - free}
    assert graph == {}


@pytest.mark.parametrize(
    ('file', 'line'),
    [
        ('functional/spatial.py', 'import mmengine'),
        ('functional/spatial.py', 'from ..recorders import Recorder'),
        ('recorders/paths.py', 'from mmdistill_dense.models import hosts'),
        (
            'models/hosts/dry_run.py',
            'from mmdet.structures import DetDataSample',
        ),
        ('models/hosts/dry_run.py', 'from ..teachers import FrozenTeacher'),
        ('models/utils/frozen_holder.py', 'from ..hosts import dry_run'),
        ('models/distillers/report.py', 'from ..pcd import queue'),
        ('models/maskd/loops.py', 'from ..pcd.maps import last_map'),
        ('models/losses/imitation_loss.py', 'from ..connectors import conv'),
        ('models/teachers/frozen.py', 'from .. import distillers'),
        ('models/distillers/term.py', 'from ..losses import ChannelWiseLoss'),
        ('models/distillers/term.py', 'def f():\n    import mmseg'),
        ('compat.py', 'from tools import train'),
        ('registry.py', 'from . import models'),
        ('export/student.py', 'from mmdistill_tools import launch'),
        ('export/student.py', 'from mmdistill_dense.gone import x'),
    ],
)
def test_an_import_that_points_up_is_seen(file, line):
    assert list(offences(ROOT / LIBRARY / file, ast.parse(line)))


@for_each(FILES)
def test_hosts_are_imported_nowhere(path):
    tops = {name.partition('.')[0] for name in imports(path, parsed(path))}
    assert not tops & {'mmdet', 'mmseg', 'tools', 'configs', 'tests'}


@for_each([*FILES, *SCRIPTS])
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


def test_no_command_shares_its_name_with_a_file_below_it():
    """MIM looks for a command in all folders of ``tools/``."""
    commands = {path.name for path in (ROOT / 'tools').glob('*.py')}
    assert commands
    inside = {path.name for path in FILES if module_of(path)[0] == TOOLS}
    assert commands & inside == set()
