"""What a wheel and an sdist hold, and that building leaves no trace."""

import email
import os
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from .helpers.packaging import ROOT, build, copy_checkout, start


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob('*')
        if path.is_file()
    }


def contents(wheel: Path) -> dict[str, int]:
    """Checksum of each file of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename: info.CRC for info in archive.infolist()}


@pytest.fixture(scope='module')
def checkout(tmp_path_factory) -> Path:
    return copy_checkout(tmp_path_factory.mktemp('checkout'))


@pytest.fixture(scope='module')
def wheel(checkout, tmp_path_factory) -> Path:
    return build('build_wheel', checkout, tmp_path_factory.mktemp('wheel'))


@pytest.fixture(scope='module')
def sdist(checkout, tmp_path_factory) -> Path:
    """The unpacked sdist."""
    out = tmp_path_factory.mktemp('sdist')
    with tarfile.open(build('build_sdist', checkout, out)) as archive:
        archive.extractall(out / 'unpacked')
    (folder,) = (out / 'unpacked').iterdir()
    return folder


def test_wheel_carries_tools_and_configs_where_mim_looks(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
        modes = [info.external_attr >> 16 for info in archive.infolist()]
    assert not any(stat.S_ISLNK(mode) for mode in modes)
    mim = tmp_path / 'mmdistill_dense' / '.mim'
    assert snapshot(mim / 'configs') == {
        name: data
        for name, data in snapshot(ROOT / 'configs').items()
        if '__pycache__' not in name
    }
    assert {path.name for path in (mim / 'tools').glob('*.*')} == {
        path.name for path in (ROOT / 'tools').glob('*.*')
    }
    index = (ROOT / 'model-index.yml').read_bytes()
    assert (mim / 'model-index.yml').read_bytes() == index


USE_TEACHERS = """
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmdistill_dense.compat import own_config, package_root
from mmdistill_dense.models.utils import build_model

assert Path(package_root()).name == '.mim'
for name in ('cwd_pspnet_shapes', 'cwd_mask-rcnn_shapes'):
    teacher = Config.fromfile(own_config(f'demo/{name}.py')).model.teacher
    path = Path(teacher.checkpoint).resolve()
    assert path.is_relative_to(package_root())
    assert path.stat().st_size <= 7e6
    cfg = Config.fromfile(own_config(teacher.cfg.partition('::')[2]))
    init_default_scope(cfg.default_scope)
    state = torch.load(path, weights_only=True)['state_dict']
    floats = {v.dtype for v in state.values() if v.is_floating_point()}
    assert floats == {torch.float16}
    assert all(v.isfinite().all() for v in state.values())
    print(name, build_model(cfg).load_state_dict(state, strict=True))
"""


def test_the_demos_teachers_are_read_from_a_wheel(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    done = subprocess.run(
        [sys.executable, '-c', USE_TEACHERS],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('<All keys matched successfully>') == 2


def test_wheel_leaves_out_what_only_developers_use(wheel):
    names = list(contents(wheel))
    assert not [name for name in names if '/tools/dev/' in name]
    roots = {name.split('/')[0] for name in names}
    assert {root for root in roots if not root.endswith('.dist-info')} == {
        'mmdistill_dense'
    }


def test_metadata_touches_no_stack(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {Path(name).name: name for name in archive.namelist()}
        metadata = email.message_from_bytes(archive.read(names['METADATA']))
        top_level = archive.read(names['top_level.txt']).split()
    assert top_level == [b'mmdistill_dense']
    assert 'entry_points.txt' not in names
    required = metadata.get_all('Requires-Dist')
    assert [line for line in required if 'extra ==' not in line] == []
    assert any(line.startswith('onedl-mmcv') for line in required)


def test_sdist_builds_to_the_same_wheel(wheel, sdist, tmp_path):
    from_sdist = build('build_wheel', sdist, tmp_path)
    assert contents(from_sdist) == contents(wheel)


def test_sdist_carries_mim_as_real_files(sdist):
    mim = sdist / 'mmdistill_dense' / '.mim'
    assert (mim / 'tools' / 'train.py').is_file()
    assert (mim / 'model-index.yml').is_file()
    assert not [path for path in sdist.rglob('*') if path.is_symlink()]


def test_builds_leave_the_checkout_as_it_was(checkout, wheel, sdist, tmp_path):
    assert snapshot(checkout) == snapshot(copy_checkout(tmp_path))


def test_failing_build_leaves_no_trace(tmp_path):
    checkout = copy_checkout(tmp_path / 'checkout')
    (checkout / 'model-index.yml').unlink()
    before = snapshot(checkout)
    process = start('build_wheel', checkout, tmp_path)
    assert 'model-index.yml' in process.communicate()[0]
    assert process.returncode != 0
    assert snapshot(checkout) == before


def test_two_builds_of_one_checkout_do_not_meet(checkout, wheel, tmp_path):
    outs = [tmp_path / 'a', tmp_path / 'b']
    for process in [start('build_wheel', checkout, out) for out in outs]:
        output = process.communicate()[0]
        assert process.returncode == 0, output
    for out in outs:
        (built,) = out.iterdir()
        assert contents(built) == contents(wheel)


def test_editable_install_holds_no_copy(checkout, tmp_path):
    editable = build('build_editable', checkout, tmp_path)
    assert not [name for name in contents(editable) if '.mim' in name]


@pytest.fixture(scope='module')
def installed(wheel, tmp_path_factory) -> Path:
    """A folder that the wheel alone is installed into."""
    target = tmp_path_factory.mktemp('installed')
    pip = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps']
    subprocess.run([*pip, '--target', target, wheel], check=True)
    return target


def test_installed_wheel_brings_nothing_else(installed):
    assert {path.name.split('-')[0] for path in installed.iterdir()} == {
        'mmdistill_dense'
    }


@pytest.mark.slow
def test_installed_wheel_finds_its_own_configs(installed):
    """Through the installed script, and past any other copy of the package."""
    done = subprocess.run(
        [sys.executable, installed / 'mmdistill_dense/.mim/tools/train.py']
        + ['mmdistill_dense::camvid/no-such-config.py'],
        cwd=installed,
        env={**os.environ, 'PYTHONPATH': str(installed)},
        capture_output=True,
        text=True,
    )
    missing = installed / 'mmdistill_dense/.mim/configs/camvid/no-such-config'
    assert f'{missing}.py does not exist' in done.stderr
