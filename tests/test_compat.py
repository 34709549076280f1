"""Versions, checkpoints and config scopes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, checkpoint

from mmdistill_dense import compat

from .helpers.stack import PACKAGES

ROOT = Path(__file__).parents[1]
OLD = [
    ('torch', '1.13.1', '2.0'),
    ('mmengine', '0.7.4', '0.8'),
    ('mmcv', '1.7.2', '2.0'),
    ('mmdet', '2.28.2', '3.0'),
    ('mmseg', '0.30.0', '1.0'),
]


@pytest.fixture
def pretend(monkeypatch):
    """Let some modules seem to have another version, or to be missing."""
    real = compat.module_version

    def make(**versions):
        monkeypatch.setattr(
            compat,
            'module_version',
            lambda name: versions[name] if name in versions else real(name),
        )

    return make


@pytest.mark.parametrize(('name', 'version', 'minimum'), OLD)
def test_a_module_that_is_too_old_is_named(pretend, name, version, minimum):
    pretend(**{name: version})
    with pytest.raises(
        ImportError,
        match=f'needs {name} >= {minimum}, but {name} {version} is installed.'
        f' Upgrade {name}',
    ):
        compat.check_versions()


@pytest.mark.parametrize('name', compat.REQUIRED)
def test_a_required_module_that_is_missing_is_named(pretend, name):
    pretend(**{name: None})
    with pytest.raises(ImportError, match=f'{name} is not installed'):
        compat.check_versions()


def test_one_host_is_enough(pretend):
    pretend(mmdet=None)
    compat.check_versions()
    pretend(mmdet=None, mmseg=None)
    compat.check_versions()


@pytest.mark.parametrize(
    'versions',
    [
        dict(mmengine='0.11.0rc3', mmcv='2.1.0', torch='2.13.0+cpu'),
        dict(mmengine='0.10.12', mmcv='2.3.6', mmdet='3.5.1', mmseg='1.4.2'),
        {name: minimum for name, _, minimum in OLD},
    ],
)
def test_stock_and_onedl_versions_fit(pretend, versions):
    pretend(**versions)
    compat.check_versions()


def test_versions_are_read_without_importing_the_hosts():
    code = f"""
import sys
from importlib.metadata import version
from mmdistill_dense.compat import module_version
for module, package in {dict(PACKAGES, torch='torch')!r}.items():
    assert module_version(module).split('+')[0] == version(
        package).split('+')[0], module
assert module_version('no_such_module') is None
assert module_version('this') is None  # a module of one file
loaded = {{'mmdet', 'mmseg', 'mmcv'}} & set(sys.modules)
assert not loaded, loaded
"""
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_importing_the_package_checks_the_versions():
    code = """
import mmengine.version
import importlib.util
real = importlib.util.find_spec
def find_spec(name, *args):
    return None if name == 'mmcv' else real(name, *args)
importlib.util.find_spec = find_spec
import mmdistill_dense
"""
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True
    )
    assert 'mmdistill_dense needs mmcv >= 2.0, but mmcv is not' in done.stderr


class Attribute:
    """Pickles as ``getattr(owner, name)``."""

    def __init__(self, owner, name):
        self.owner, self.name = owner, name

    def __reduce__(self):
        return getattr, (self.owner, self.name)


def test_log_histories_and_numpy_values_load_with_weights_only(tmp_path):
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    history.mean()
    content = dict(
        history=history,
        scalar=np.float64(0.5),
        array=np.arange(3, dtype=np.int64),
        text=np.array(['a']),
        method=Attribute(HistoryBuffer, 'mean'),
    )
    torch.save(content, tmp_path / 'log.pth')
    loaded = torch.load(tmp_path / 'log.pth', weights_only=True)
    assert loaded['history'].mean() == 1.5
    assert loaded['scalar'] == 0.5
    np.testing.assert_array_equal(loaded['array'], [0, 1, 2])
    assert loaded['text'].tolist() == ['a']
    assert loaded['method'] is HistoryBuffer.mean


@pytest.mark.parametrize(
    ('owner', 'name'),
    [
        (np.ndarray, 'tofile'),
        (torch.Tensor, 'share_memory_'),
        (HistoryBuffer, '__init__'),
        (HistoryBuffer, '_set_default_statistics'),
    ],
)
def test_getattr_in_a_checkpoint_reaches_log_histories_only(
    tmp_path, owner, name
):
    torch.save(Attribute(owner, name), tmp_path / 'evil.pth')
    with pytest.raises(
        Exception, match=f"refers to an attribute of .*'{name}'"
    ):
        torch.load(tmp_path / 'evil.pth', weights_only=True)


def test_own_configs_are_found_by_scope():
    name = 'mmdistill_dense::_base_/terms/cwd_paper-logits.py'
    path = compat.config_path(name)
    assert path == compat.own_config('_base_/terms/cwd_paper-logits.py')
    assert Path(path).is_file()
    assert Path(path).is_relative_to(compat.package_root())


def test_an_own_config_is_a_base_without_a_scope(tmp_path):
    # With a scope, type='Resize' of it would not mean the host's.
    file = tmp_path / 'run.py'
    file.write_text(
        "_base_ = ['mmdistill_dense::_base_/terms/cwd_paper-logits.py']\n"
    )
    terms = Config.fromfile(file).terms
    assert terms.cwd.loss.tau == 4.0
    assert '_scope_' not in terms.cwd


def test_an_own_config_that_does_not_exist_is_named():
    with pytest.raises(
        FileNotFoundError,
        match=r'mmdistill_dense::cwd/nothing\.py is not a config of this',
    ):
        compat.config_path('mmdistill_dense::cwd/nothing.py')


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('nowhere.py', r"config 'nowhere\.py' does not exist"),
        ('mmnothing::a/b.py', 'cannot be looked up: .*mmnothing'),
        ('mmocr::a/b.py', 'cannot be looked up: mmocr is not installed'),
        ('mmdet::mask_rcnn/nothing.py', r'nothing\.py'),
        ('mmdet::', 'mmdet::'),
    ],
)
def test_a_config_that_cannot_be_found_is_named(name, message):
    with pytest.raises(FileNotFoundError, match=message):
        compat.config_path(name)


def test_home_is_expanded_in_a_path(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'a.py').write_text('')
    assert compat.config_path('~/a.py') == str(tmp_path / 'a.py')


def test_installing_twice_wraps_the_config_parser_once():
    first = Config._get_cfg_path
    loader = CheckpointLoader._schemes['torchvision://']
    compat.install()
    compat.install()
    assert Config._get_cfg_path is first
    assert first.resolves_mmdistill_dense
    # Other scopes still go through MMEngine's own function.
    path, scope = first('mmdet::yolox/yolox_s_8xb8-300e_coco.py', '')
    assert scope == 'mmdet'
    assert path.endswith('yolox_s_8xb8-300e_coco.py')
    assert loader.__module__ == compat.__name__


@pytest.fixture
def no_torchvision(monkeypatch):
    """As where torchvision is not installed; addresses that are requested."""
    find_spec = compat.find_spec
    monkeypatch.setattr(
        compat,
        'find_spec',
        lambda name: None if name == 'torchvision' else find_spec(name),
    )
    schemes = dict(CheckpointLoader._schemes)
    monkeypatch.setattr(CheckpointLoader, '_schemes', schemes)
    compat._load_torchvision_urls()
    requested = []

    def load(filename, map_location=None):
        requested.append((filename, map_location))
        return dict(weight=torch.ones(1))

    monkeypatch.setattr(checkpoint, 'load_from_http', load)
    return requested


@pytest.mark.parametrize('scheme', ['torchvision', 'modelzoo'])
def test_torchvision_weights_come_without_torchvision(no_torchvision, scheme):
    loaded = CheckpointLoader.load_checkpoint(
        f'{scheme}://resnet50', map_location='cpu'
    )
    assert loaded['weight'] == 1
    ((address, where),) = no_torchvision
    assert address.startswith('https://download.pytorch.org/models/resnet50-')
    assert where == 'cpu'


def test_a_model_that_torchvision_never_had_is_refused(no_torchvision):
    with pytest.raises(
        ValueError,
        match=r'(?s)torchvision://resnet51 cannot be resolved.*resnet50.*'
        r'Install torchvision',
    ):
        CheckpointLoader.load_checkpoint('torchvision://resnet51')
    assert no_torchvision == []
