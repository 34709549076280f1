"""Commands of one part of ``gpu_check.py``, its time, log and findings."""

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[2]


class PartFailed(Exception):
    """A part failed; the message is the reason."""


class PartSkipped(Exception):
    """A part, or a piece of it, could not run on this machine."""


class Check:
    """Runs commands of one part, and logs their output.

    Args:
        args: Arguments of the command line.
        work: Temporary folder for data, checkpoints and wheels.
    """

    def __init__(self, args: argparse.Namespace, work: Path) -> None:
        self.args = args
        self.work = work
        self.dry = args.dry_run
        self.out = args.out.resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.log = self.out / 'gpu_check.log'
        self.log.write_bytes(b'')
        self.env = dict(os.environ, PYTHONUNBUFFERED='1')
        if self.dry:
            # With small inputs, several threads are slower than one.
            self.env['OMP_NUM_THREADS'] = '1'
        self.add_path(ROOT)
        #: Deadline and facts of the current part.
        self.deadline = 0.0
        self.facts: dict = {}

    def add_path(self, folder: Path) -> None:
        """Let later commands import from a folder, before anything else."""
        paths = [str(folder), self.env.get('PYTHONPATH', '')]
        self.env['PYTHONPATH'] = os.pathsep.join(filter(None, paths))

    @property
    def device(self) -> str:
        """What ``tools/benchmark.py`` measures on."""
        return 'cpu' if self.dry else 'cuda'

    def python(self, *args: object, **env: str) -> str:
        """Run this Python in the checkout; see :meth:`run`."""
        return self.run(sys.executable, *args, **env)

    def run(self, *args: object, **env: str) -> str:
        """Run a command until it ends, or until the part's deadline.

        Returns:
            Output of the command.

        Raises:
            PartFailed: If it exits with an error.
            TimeoutError: At the deadline of the part.
        """
        command = [str(arg) for arg in args]
        line = shlex.join([*(f'{k}={v}' for k, v in env.items()), *command])
        with self.log.open('ab') as log:
            log.write(f'\n$ {line}\n'.encode())
            log.flush()
            start = log.tell()
            code = self._wait(command, {**self.env, **env}, log)
        with self.log.open('rb') as log:
            log.seek(start)
            text = log.read().decode(errors='replace')
        if code:
            *_, last = ['', *text.strip().splitlines()]
            raise PartFailed(f'{line}: exit code {code}: {last}')
        return text

    def _wait(self, command: list[str], env: dict, log: IO[bytes]) -> int:
        """Exit code of a command, which is terminated at the deadline."""
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            left = self.deadline - time.monotonic()
            return process.wait(timeout=max(0.1, left))
        except subprocess.TimeoutExpired:
            raise TimeoutError(shlex.join(command)) from None
        finally:
            if process.poll() is None:
                end(process)


def end(process: subprocess.Popen) -> None:
    """Terminate a command and its child processes.

    torch's launcher forwards SIGTERM to its workers, which are in their own
    sessions; after a SIGKILL they would stay on the GPU.
    """
    os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
