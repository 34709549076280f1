"""What a run was made with, without naming the machine."""

import os
import platform
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from mmdistill_dense.compat import module_version, package_root

PACKAGES = ('mmdistill_dense', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'torch')


@dataclass(frozen=True)
class Origin:
    """What a process was started with.

    Attributes:
        commit: Of this package, ``-dirty`` if its code has changes that are
            not committed; None if it is no checkout.
        versions: Of Python and packages.
        machine: Processor, cores, runs side by side, threads, GPU.
    """

    commit: str | None
    versions: dict[str, str]
    machine: dict[str, object]


def origin(at_once: int, slot: Mapping[str, str]) -> Origin:
    """That of now.

    Args:
        at_once: Trainings side by side.
        slot: What the process gets beyond this one's environment.
    """
    environment = {**os.environ, **slot}
    threads = environment.get('OMP_NUM_THREADS')
    return Origin(commit(), versions(), describe_machine(at_once, threads))


def versions() -> dict[str, str]:
    """Of Python and of the packages that are there."""
    found = {'python': platform.python_version()}
    for name in PACKAGES:
        version = module_version(name)
        if version:
            found[name] = version
    return found


def describe_machine(at_once: int, threads: str | None) -> dict[str, object]:
    """What runs are made on, without its name."""
    found: dict[str, object] = {
        'processor': _processor(),
        'cores': available_cores(),
        'runs_at_once': at_once,
    }
    if threads:
        found['omp_num_threads'] = threads
    if torch.cuda.is_available():
        found['gpu'] = torch.cuda.get_device_name()
    return found


def available_cores() -> int:
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
    """Revision of this package, if it is a checkout of its own."""
    root = package_root()
    if _git('rev-parse', '--show-toplevel') != os.path.realpath(root):
        return None  # installed, perhaps below somebody's repository
    revision = _git('rev-parse', '--short=12', 'HEAD')
    code = ('mmdistill_dense', 'configs', 'tools')  # not the results
    changed = _git('status', '--porcelain', '--', *code)
    return f'{revision}-dirty' if changed else revision


def _git(*arguments: str) -> str | None:
    """What git prints about the package's folder; None if it fails."""
    try:
        done = subprocess.run(
            ['git', '-C', package_root(), *arguments],
            capture_output=True,
            text=True,
        )
    except OSError:  # no git
        return None
    return None if done.returncode else done.stdout.strip()


def utc_now() -> str:
    """UTC, to the second."""
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
