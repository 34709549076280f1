"""The shipped configs and the papers beside them, without building a model."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from mmengine.config import Config

from mmdistill_dense.compat import config_path
from tests.helpers.configs import CONFIGS, DISTILLED, FILES, ROOT

PREFIX = 'mmdistill_dense.'
OWN_TYPES = {
    'DenseDistiller',
    'ChannelWiseLoss',
    'PixelWiseLoss',
    'ConvConnector',
}
PRESETS = {
    'cwd_paper-logits': ('cwd', 'logits', 4.0, 3.0),
    'cwd_paper-features': ('cwd_features', 'decode_head.conv_seg', 4.0, 50.0),
    'cwd_openmmlab-seg': ('cwd', 'logits', 1.0, 5.0),
    'cwd_openmmlab-det': ('cwd', 'neck', 1.0, 10.0),
    'pixel-wise_logits': ('pixel_wise', 'logits', 1.0, 1.0),
}


def relative(path):
    return path.relative_to(ROOT).as_posix()


@cache
def read(path):
    return Config.fromfile(str(path), format_python_code=False)


every_file = pytest.mark.parametrize('path', FILES, ids=relative)
every_distilled = pytest.mark.parametrize('path', DISTILLED, ids=relative)


def types(node):
    """Every ``type`` in a config, at any depth."""
    if isinstance(node, dict):
        if isinstance(node.get('type'), str):
            yield node['type']
        node = node.values()
    if not isinstance(node, str) and hasattr(node, '__iter__'):
        for child in node:
            yield from types(child)


@every_file
def test_parses_and_survives_a_dump(path, tmp_path):
    cfg = read(path)
    copy = tmp_path / 'copy.py'
    copy.write_text(cfg.pretty_text, encoding='utf-8')
    assert Config.fromfile(str(copy)).to_dict() == cfg.to_dict()


@every_file
def test_own_types_carry_the_prefix(path):
    names = set(types(read(path).to_dict()))
    assert not names & OWN_TYPES
    own = {name for name in names if name.startswith(PREFIX)}
    assert own <= {PREFIX + name for name in OWN_TYPES}


@every_file
def test_no_path_of_a_machine(path):
    assert not re.search(r"['\"](/|~/)\w", path.read_text(encoding='utf-8'))


def test_basenames_are_unique():
    names = [path.name for path in FILES]
    assert len(names) == len(set(names))


def test_distilled_configs_are_found():
    assert len(DISTILLED) >= 16


@every_distilled
def test_says_only_what_differs(path):
    lines = path.read_text(encoding='utf-8').splitlines()
    code = [s for s in map(str.strip, lines) if s and not s.startswith('#')]
    assert len(code) <= 25


@every_distilled
def test_distills_a_stock_student(path):
    cfg = read(path)
    assert cfg.model.type == PREFIX + 'DenseDistiller'
    assert cfg.default_scope in ('mmdet', 'mmseg')
    assert not any(t.startswith(PREFIX) for t in types(cfg.model.student))
    for term in cfg.model.terms.values():
        assert term.loss.type.startswith(PREFIX)


@every_distilled
def test_teacher_exists_and_differs_from_the_student(path):
    model = read(path).model
    teacher = read(config_path(model.teacher.cfg))
    assert teacher.model.type == model.student.type
    assert teacher.model.to_dict() != model.student.to_dict()


@cache
def zoo(folder):
    """Weights that a host's metafile gives for each of its configs."""
    (metafile,) = folder.glob('metafile.y*ml')
    loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)
    models = yaml.load(metafile.read_text(encoding='utf-8'), loader)['Models']
    return {Path(m['Config']).name: m.get('Weights') for m in models}


@every_distilled
def test_teacher_checkpoint_belongs_to_its_config(path):
    teacher = read(path).model.teacher
    cfg = Path(config_path(teacher.cfg))
    if CONFIGS in cfg.parents:
        last = read(cfg).train_cfg.max_iters
        expected = f'work_dirs/{cfg.stem}/iter_{last}.pth'
    else:
        # OneDL serves the same files from another host.
        expected = urlsplit(zoo(cfg.parent)[cfg.name]).path
        assert urlsplit(teacher.checkpoint).path == expected
        return
    assert teacher.checkpoint == expected


@pytest.mark.parametrize('name', PRESETS)
def test_preset(name):
    preset = read(CONFIGS / '_base_' / 'terms' / f'{name}.py')
    key, at, tau, weight = PRESETS[name]
    assert list(preset) == ['terms']
    assert list(preset.terms) == [key]
    term = preset.terms[key]
    assert (term.loss.tau, term.loss.loss_weight) == (tau, weight)
    if isinstance(term.at, str):
        assert term.at == at
    else:
        side = dict(path=at, take='input')
        assert term.at.to_dict() == dict(student=side, teacher=side)


@pytest.mark.parametrize('root', [None, '/x/data', '/x/data/'])
@pytest.mark.parametrize(
    ('folder', 'variable', 'default'),
    [
        ('camvid', 'CAMVID_ROOT', 'data/camvid/'),
        ('demo', 'SHAPES_ROOT', 'data/shapes/'),
    ],
)
def test_data_root_is_set_once(folder, variable, default, root, monkeypatch):
    monkeypatch.delenv(variable, raising=False)
    if root:
        monkeypatch.setenv(variable, root)
    for path in sorted((CONFIGS / folder).glob('*.py')):
        cfg = Config.fromfile(str(path), format_python_code=False)
        for loader in (cfg.train_dataloader, cfg.val_dataloader):
            assert loader.dataset.data_root == (root or default)
        if 'ann_file' in cfg.val_evaluator:
            expected = (root or default).rstrip('/')
            expected += '/annotations/instances_val.json'
            assert cfg.val_evaluator.ann_file == expected


@pytest.mark.parametrize(
    'path',
    sorted(p for f in ('camvid', 'demo') for p in (CONFIGS / f).glob('*.py')),
    ids=relative,
)
def test_small_models_start_from_scratch_on_any_machine(path):
    model = read(path).model
    model = model.get('student', model)
    assert 'SyncBN' not in set(types(model.to_dict()))
    assert model.get('pretrained') is None
    assert model.backbone.get('init_cfg') is None


def load_yaml(path):
    return yaml.safe_load(path.read_text(encoding='utf-8'))


def metafiles():
    return [ROOT / p for p in load_yaml(ROOT / 'model-index.yml')['Import']]


def test_model_index_lists_every_metafile():
    assert set(metafiles()) == set(CONFIGS.rglob('metafile.yml'))


def test_metafiles_list_every_distilled_config():
    content = [load_yaml(path) for path in metafiles()]
    collections = [c for meta in content for c in meta.get('Collections', [])]
    for collection in collections:
        assert (ROOT / collection['README']).is_file()
        assert (ROOT / collection['Code']).is_file()
    models = [model for meta in content for model in meta['Models']]
    names = {collection['Name'] for collection in collections}
    for model in models:
        assert (ROOT / model['Config']).is_file()
        assert model['Name'] == Path(model['Config']).stem
        assert model['In Collection'] in names
    listed = sorted(ROOT / model['Config'] for model in models)
    assert listed == DISTILLED


def table_rows(readme):
    """Config name -> (taus, weights) of the table rows of a README."""
    for line in readme.read_text(encoding='utf-8').splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        link = re.fullmatch(r'\[config\]\(\./(.+)\)', cells[-1])
        if link and len(cells) == 6:
            yield link[1], [re.findall(r'[\d.]+', c) for c in cells[3:5]]


@every_distilled
def test_readme_says_what_the_config_says(path):
    taus, weights = dict(table_rows(path.parent / 'README.md'))[path.name]
    losses = [term.loss for term in read(path).model.terms.values()]
    assert [float(tau) for tau in taus] == [loss.tau for loss in losses]
    assert [float(w) for w in weights] == [o.loss_weight for o in losses]


@pytest.mark.parametrize(
    'readme', sorted(CONFIGS.rglob('README.md')), ids=relative
)
def test_readme_links_exist(readme):
    text = readme.read_text(encoding='utf-8')
    for link in re.findall(r'\]\((\.[^)]+)\)', text):
        assert (readme.parent / link).exists(), link
