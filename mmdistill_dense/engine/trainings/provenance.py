"""What a run was made with, without naming the machine."""

import os
import platform
import subprocess
import time
from pathlib import Path

import torch

from mmdistill_dense.compat import module_version, package_root

PACKAGES = ('mmdistill_dense', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'torch')


def versions() -> dict[str, str]:
    """Of Python and of the packages that are there."""
    found = {'python': platform.python_version()}
    for name in PACKAGES:
        version = module_version(name)
        if version:
            found[name] = version
    return found


def machine(at_once: int) -> dict[str, object]:
    """What runs are made on, without its name."""
    found: dict[str, object] = {
        'processor': _processor(),
        'cores': cores(),
        'runs_at_once': at_once,
    }
    if 'OMP_NUM_THREADS' in os.environ:
        found['omp_num_threads'] = os.environ['OMP_NUM_THREADS']
    if torch.cuda.is_available():
        found['gpu'] = torch.cuda.get_device_name()
    return found


def cores() -> int:
    """Those that this process may use, of all that the machine has."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    path = Path('/proc/cpuinfo')
    lines = path.read_text('utf-8').splitlines() if path.exists() else []
    for line in lines:
        if line.startswith('model name'):
            return line.partition(':')[2].strip()
    return platform.processor() or platform.machine()


def commit() -> str | None:
    """Revision of this package, if it is a checkout."""

    def git(*arguments: str) -> str | None:
        done = subprocess.run(
            ['git', '-C', package_root(), *arguments],
            capture_output=True,
            text=True,
        )
        return None if done.returncode else done.stdout.strip()

    try:
        revision = git('rev-parse', '--short=12', 'HEAD')
        changed = git('status', '--porcelain', '--untracked-files=no')
    except OSError:  # no git
        return None
    return f'{revision}-dirty' if revision and changed else revision


def now() -> str:
    """UTC, to the second."""
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
