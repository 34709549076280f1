"""Every MIM command on this package's wheel, in a clean environment.

    python tests/test_mim/mim_doors.py [--env DIR] [--stack onedl]

The wheel is built and installed beside the pinned stack and openmim 0.3.9,
nothing is editable, and the commands run in an empty folder, without network.
One line tells of each; the exit code is 1 if any failed. ``--env`` keeps the
environment in DIR, for the next time.

Order matters when these are installed by hand: setuptools below 82 first
(openmim and mmengine 0.10.7 import pkg_resources), torch, then the stack
without build isolation, then openmim. Left alone pip takes the newest
openxlab for it, and with that setuptools 60, rich 13 and packaging 24;
``pip install openmim==0.3.9 'setuptools>=64,<82'`` does not.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from doors import OWN, STACKS, STUDY, Door, doors

ROOT = Path(__file__).resolve().parents[2]
#: Settings that would lead the commands elsewhere.
FORGOTTEN = ('PYTHONPATH', 'SHAPES_ROOT', 'CAMVID_ROOT')


def install(env: Path, scratch: Path, stack: str) -> Path:
    """Build the wheel, set up ``env``; returns the installed ``.mim``."""
    pip = [sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps']
    pip += ['--no-build-isolation', '--wheel-dir', scratch, ROOT]
    subprocess.run(pip, check=True)
    (wheel,) = scratch.glob('*.whl')
    settings = dict(VENV=env, WHEEL=wheel, STACK=stack, PYTHON=sys.executable)
    subprocess.run(
        ['bash', ROOT / 'tools' / 'dev' / 'setup.sh'],
        env={**os.environ, **settings},
        check=True,
    )
    (mim,) = env.glob('lib/python3*/site-packages/mmdistill_dense/.mim')
    return mim


def environment(env: Path) -> dict[str, str]:
    """Only ``env``'s programs; on the CPU, with nowhere to download from."""
    return {
        **{k: v for k, v in os.environ.items() if k not in FORGOTTEN},
        'PATH': os.pathsep.join([str(env / 'bin'), os.environ['PATH']]),
        'PIP_NO_INDEX': '1',
        'http_proxy': 'http://127.0.0.1:9',
        'https_proxy': 'http://127.0.0.1:9',
        'OMP_NUM_THREADS': '1',
        'CUDA_VISIBLE_DEVICES': '',
    }


def complaint(door: Door, folder: Path, code: int, output: str) -> str:
    """Why a door counts as shut; empty if it is open."""
    if code:
        return f'exit code {code}'
    if not re.search(door.says, output):
        return f'nothing printed matches {door.says!r}'
    if door.writes and not (folder / door.writes).is_file():
        return f'{door.writes} was not written'
    return ''


def is_open(door: Door, folder: Path, env: dict[str, str]) -> bool:
    """Run a door's command and print the line about it."""
    started = time.monotonic()
    done = subprocess.run(
        shlex.split(door.command),
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    seconds = time.monotonic() - started
    problem = complaint(door, folder, done.returncode, done.stdout)
    print(
        f'{"FAILED" if problem else "ok":<6} {seconds:5.1f} s  {door.command}'
    )
    if problem:
        tail = done.stdout.splitlines()[-20:]
        print(*[f'    {line}' for line in [problem, *tail]], sep='\n')
    return not problem


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--env', type=Path, help='keep the environment here')
    parser.add_argument('--stack', choices=list(STACKS), default='stock')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        env = (args.env or Path(scratch, 'env')).absolute()
        mim = install(env, Path(scratch), args.stack)
        folder = Path(scratch, 'empty')
        folder.mkdir()
        for name in ('pspnet', 'mask-rcnn'):
            own = OWN.format(mim=mim, name=name)
            (folder / f'{name}.py').write_text(own, encoding='utf-8')
        (folder / 'tiny.yaml').write_text(STUDY, encoding='utf-8')
        every = doors(mim, args.stack)
        shut = [d for d in every if not is_open(d, folder, environment(env))]
    print(f'{len(every) - len(shut)} of {len(every)} commands work')
    raise SystemExit(bool(shut))


if __name__ == '__main__':
    main()
