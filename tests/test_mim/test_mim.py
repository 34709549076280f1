"""What MIM finds in the wheel; ``mim_doors.py`` runs all of its commands.

MIM itself is the one of this environment; the wheel lies in a folder of its
own, before the editable install on the path.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import mmdistill_dense
from mmdistill_dense.datasets.shapes import write_dataset

from ..helpers.packaging import build, copy_checkout
from ..helpers.stack import ONEDL

pytestmark = pytest.mark.slow
MIM = [sys.executable, '-m', 'mim']


@pytest.fixture(scope='module')
def installed(tmp_path_factory) -> Path:
    """A folder that the wheel of this checkout is installed into."""
    checkout = copy_checkout(tmp_path_factory.mktemp('checkout'))
    wheel = build('build_wheel', checkout, tmp_path_factory.mktemp('wheel'))
    target = tmp_path_factory.mktemp('installed')
    pip = [sys.executable, '-m', 'pip', '--quiet', 'install', '--no-deps']
    subprocess.run([*pip, '--target', target, wheel], check=True)
    return target


@pytest.fixture
def mim(installed, tmp_path):
    """Run ``mim ...`` in an empty folder; returns what it printed."""

    def run(*args: str) -> str:
        done = subprocess.run(
            [*MIM, *args],
            cwd=tmp_path,
            env=dict(
                os.environ,
                PYTHONPATH=str(installed),
                SHAPES_ROOT=str(tmp_path / 'shapes'),
                PIP_NO_INDEX='1',
                OMP_NUM_THREADS='1',
                CUDA_VISIBLE_DEVICES='',
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    return run


def test_search_filters_our_models(mim, tmp_path, installed):
    mim(
        *('search', 'mmdistill_dense', '--model', 'cwd', '--dataset', 'coco'),
        *('--field', 'config', 'teacher', '--json', 'found.json'),
    )
    found = json.loads((tmp_path / 'found.json').read_text())
    assert set(found) == {'config', 'teacher'}
    assert any(
        name.startswith('cwd_neck_mask-rcnn') for name in found['config']
    )
    root = installed / 'mmdistill_dense' / '.mim'
    for config in found['config'].values():
        assert (root / config).is_file()


def test_list_shows_us(mim):
    lines = [s for s in mim('list').splitlines() if 'distill' in s]
    assert [line.split() for line in lines] == [
        ['mmdistill-dense', mmdistill_dense.__version__]
    ]


def test_a_config_is_found_by_its_basename_alone(installed):
    """MIM looks through the whole package, not only its configs."""
    package = installed / 'mmdistill_dense'
    names = Counter(path.name for path in package.rglob('*.py'))
    configs = [path.name for path in (package / '.mim/configs').rglob('*.py')]
    assert len(configs) > 20
    assert [name for name in configs if names[name] > 1] == []


def test_a_tool_is_found_by_its_name_alone(installed):
    tools = installed / 'mmdistill_dense' / '.mim' / 'tools'
    commands = {path.name for path in tools.glob('*.py')}
    assert {'train.py', 'test.py', 'study.py'} <= commands
    # MIM looks in every folder, and takes none where it finds two.
    found = [p.name for p in tools.rglob('*.py') if p.name in commands]
    assert sorted(found) == sorted(commands)
    assert (tools / 'mmdistill_tools' / 'study').is_dir()


def test_train_takes_a_basename(mim, tmp_path, installed):
    """MIM adds ``--gpus`` where a script's help has it; train.py's has not."""
    write_dataset(tmp_path / 'shapes', train=4, val=1)
    options = ('--cfg-options', 'train_cfg.max_iters=1')
    printed = mim(
        'train', 'mmdistill_dense', 'pspnet_student_shapes.py', *options
    )
    script = installed / 'mmdistill_dense/.mim/tools/train.py'
    config = script.parents[1] / 'configs/demo/pspnet_student_shapes.py'
    command = [sys.executable, script, config, '--launcher', 'none', *options]
    assert f'Training command is {" ".join(map(str, command))}. ' in printed
    folder = tmp_path / 'work_dirs' / 'pspnet_student_shapes'
    assert (folder / 'iter_1.pth').is_file()


@pytest.mark.timeout(3600)  # pip may have to compile mmcv
def test_every_command_in_a_clean_environment():
    script = Path(__file__).with_name('mim_doors.py')
    done = subprocess.run(
        [sys.executable, script, '--stack', 'onedl' if ONEDL else 'stock'],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    print(done.stdout)
    assert done.returncode == 0
