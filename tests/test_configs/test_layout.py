"""The shipped configs, without building a model."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from mmengine.config import Config

from mmdistill_dense.compat import config_path
from tests.helpers.configs import (
    CONFIGS,
    DISTILLED,
    ENCODERS,
    FILES,
    PRETRAINED,
    TOKENS,
    own_types,
    read,
)
from tests.helpers.rules import for_each

PREFIX = 'mmdistill_dense.'
SMALL = sorted(
    path
    for name in ('camvid', 'demo')
    for path in CONFIGS.glob(f'{name}/*.py')
)


def types(node):
    """Every ``type`` in a config, at any depth."""
    if isinstance(node, dict):
        if isinstance(node.get('type'), str):
            yield node['type']
        node = node.values()
    if not isinstance(node, str) and hasattr(node, '__iter__'):
        for child in node:
            yield from types(child)


@for_each(FILES)
def test_parses_and_survives_a_dump(path, tmp_path):
    cfg = read(path).to_dict()
    # Laid out by yapf, each would take half a second.
    text = Config(cfg, format_python_code=False).pretty_text
    copy = tmp_path / 'copy.py'
    copy.write_text(text, encoding='utf-8')
    assert Config.fromfile(str(copy)).to_dict() == cfg


@for_each(FILES)
def test_own_types_carry_the_prefix(path):
    names, registered = set(types(read(path).to_dict())), set(own_types())
    assert not names & registered
    own = {name for name in names if name.startswith(PREFIX)}
    assert own <= {PREFIX + name for name in registered}


@for_each(FILES)
def test_no_path_of_a_machine(path):
    assert not re.search(r"['\"](/|~/)\w", path.read_text(encoding='utf-8'))


def test_basenames_are_unique():
    names = [path.name for path in FILES]
    assert len(names) == len(set(names))


def test_distilled_configs_are_found():
    assert len(DISTILLED) >= 36
    assert len(TOKENS) >= 16
    assert len(PRETRAINED) >= 9


@for_each(DISTILLED)
def test_distills_a_stock_student(path):
    cfg = read(path)
    assert cfg.model.type == PREFIX + 'DenseDistiller'
    assert cfg.default_scope in ('mmdet', 'mmseg')
    assert not any(t.startswith(PREFIX) for t in types(cfg.model.student))
    for term in cfg.model.terms.values():
        assert term.loss.type.startswith(PREFIX)


@for_each(DISTILLED)
def test_teacher_exists_and_differs_from_the_student(path):
    model = read(path).model
    teacher = read(config_path(model.teacher.cfg))
    kinds = teacher.model.type, model.student.type
    assert len(set(kinds)) == 1 or kinds[0] == 'CascadeRCNN'
    assert teacher.model.to_dict() != model.student.to_dict()


@cache
def zoo(folder):
    """Weights that a host's metafile gives for each of its configs."""
    (metafile,) = folder.glob('metafile.y*ml')
    loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
    models = yaml.load(metafile.read_text(encoding='utf-8'), loader)['Models']
    return {Path(m['Config']).name: m.get('Weights') for m in models}


@for_each(DISTILLED + TOKENS)
def test_teacher_checkpoint_belongs_to_its_config(path):
    teacher = read(path).model.teacher
    cfg = Path(config_path(teacher.cfg))
    if CONFIGS in cfg.parents:
        shipped = cfg.parent / 'weights' / f'{cfg.stem}.pth'
        if shipped.exists():
            assert Path(teacher.checkpoint).resolve() == shipped
            return
        last = read(cfg).train_cfg.max_iters
        expected = f'work_dirs/{cfg.stem}/iter_{last}.pth'
    else:
        # OneDL serves the same files from another host.
        expected = urlsplit(zoo(cfg.parent)[cfg.name]).path
        assert urlsplit(teacher.checkpoint).path == expected
        return
    assert teacher.checkpoint == expected


TERMS = sorted((CONFIGS / '_base_' / 'terms').glob('*.py'))


@for_each(TERMS)
def test_a_preset_holds_terms_that_a_shipped_config_has(path):
    """READMEs' tables and golden first steps of configs hold its numbers."""
    assert list(read(path)) == ['terms']
    bases = rf"_base_/terms/{path.name}'"
    shipped = [*DISTILLED, *ENCODERS]
    users = [p for p in shipped if re.search(bases, p.read_text('utf-8'))]
    assert users


ROOTS = [
    ('camvid', 'CAMVID_ROOT', 'data/camvid/'),
    ('shapes', 'SHAPES_ROOT', 'data/shapes/'),
]


@pytest.mark.parametrize('root', [None, '/x/data', '/x/data/'])
@pytest.mark.parametrize('task', ['instance', 'semantic'])
@pytest.mark.parametrize(('name', 'variable', 'default'), ROOTS)
def test_data_root_is_set_once(
    name, variable, default, task, root, monkeypatch
):
    monkeypatch.delenv(variable, raising=False)
    if root:
        monkeypatch.setenv(variable, root)
    path = CONFIGS / '_base_' / 'datasets' / f'{name}_{task}.py'
    check_data_root(Config.fromfile(str(path)), root or default)


def check_data_root(cfg, root):
    for loader in (cfg.train_dataloader, cfg.get('val_dataloader')):
        assert loader is None or loader.dataset.data_root == root
    if 'ann_file' in cfg.get('val_evaluator', {}):
        annotations = f'{root.rstrip("/")}/annotations/instances_val.json'
        assert cfg.val_evaluator.ann_file == annotations


@for_each(SMALL)
def test_small_configs_read_the_small_data(path):
    cfg = read(path)
    check_data_root(cfg, read(CONFIGS / data_of(path)).data_root)


def data_of(path):
    name = {'camvid': 'camvid', 'demo': 'shapes'}[path.parent.name]
    if path.name.startswith(('contrast_', 'pcd_')):
        return f'_base_/datasets/byol_views_{name}.py'
    task = 'detection' if '_fpn_' in path.name else 'semantic'
    if 'mask-rcnn' in path.name:
        task = 'instance'
    return f'_base_/datasets/{name}_{task}.py'


@for_each(SMALL)
def test_small_models_need_no_download_and_no_gpu(path):
    model = read(path).model
    if path in TOKENS:
        model = read(config_path(model.teacher.cfg)).model
    model = model.get('student', model)
    assert 'SyncBN' not in set(types(model.to_dict()))
    assert model.get('pretrained') is None
    start = model.backbone.get('init_cfg')
    if start is not None:
        path = start.checkpoint
        assert path.startswith('work_dirs/') or Path(path).exists()
