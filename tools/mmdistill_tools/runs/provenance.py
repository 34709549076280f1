"""Commit, versions and hardware of a run, without the host name."""

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
class Provenance:
    """Software and hardware of a process when it was started.

    Attributes:
        commit: Commit of this package, ``-dirty`` with uncommitted changes
            of its code; None outside a checkout.
        versions: Versions of Python and packages.
        machine: Processor, cores, runs side by side, threads, GPU.
    """

    commit: str | None
    versions: dict[str, str]
    machine: dict[str, object]


def collect_provenance(at_once: int, slot: Mapping[str, str]) -> Provenance:
    """Provenance of a process that is started now.

    Args:
        at_once: Number of trainings side by side.
        slot: Environment variables that the process gets in addition.
    """
    environment = {**os.environ, **slot}
    threads = environment.get('OMP_NUM_THREADS')
    return Provenance(commit(), versions(), describe_machine(at_once, threads))


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages."""
    found = {'python': platform.python_version()}
    for name in PACKAGES:
        version = module_version(name)
        if version:
            found[name] = version
    return found


def describe_machine(at_once: int, threads: str | None) -> dict[str, object]:
    """Hardware and threads of the runs, without the host name."""
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
    """Number of cores that this process may use."""
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
    """Revision of this package; None unless it is its own checkout."""
    root = package_root()
    if _git('rev-parse', '--show-toplevel') != os.path.realpath(root):
        return None  # installed, perhaps inside another repository
    revision = _git('rev-parse', '--short=12', 'HEAD')
    code = ('mmdistill_dense', 'configs', 'tools')  # not the results
    changed = _git('status', '--porcelain', '--', *code)
    return f'{revision}-dirty' if changed else revision


def _git(*arguments: str) -> str | None:
    """Output of git in the package's folder; None if git fails."""
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
    """Current time in UTC, to the second."""
    return time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
