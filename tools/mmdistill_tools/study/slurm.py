"""Submit the runs of a study as Slurm job arrays.

Each task of an array is ``tools/study.py --task``, which records its start
and runs ``tools/train.py ... --resume`` for one run as its child. Slurm keeps
the order: an array starts when its dependencies have succeeded.
"""

import getpass
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import Progress

from mmdistill_dense.compat import package_root
from mmdistill_dense.hooks.checkpoint_files import checkpoint_problem
from mmdistill_tools.runs.process_pool import STARTS_FILE
from mmdistill_tools.runs.tool import write_atomically
from mmdistill_tools.runs.training import cpu_slots, train_all

from . import StudyError
from .definition import Study
from .folders import check_and_record_command, locked
from .plan import Entry, plan_study
from .session import Session

#: File in the work dir of a study: Slurm task of each submitted run.
TASKS = 'slurm_tasks.json'
#: Seconds between two calls of squeue.
POLL_SECONDS = 30.0


def run_on_slurm(
    study: Study, at_once: int | None, wait: bool, console: Console
) -> None:
    """Measure the runs that have ended, and submit those still to do.

    Args:
        study: The study; its work dir is on a file system that the nodes of
            the cluster share.
        at_once: Maximum number of runs of an array at a time; None for no
            limit.
        wait: Return only when all submitted runs have left the queue.
        console: Prints what is done and what is left.

    Raises:
        StudyError: If Slurm is missing or fails, results or folders have
            other settings, or runs failed.
    """
    for name in ('sbatch', 'squeue'):
        if not shutil.which(name):
            raise StudyError(
                f'--launcher slurm needs {name} on PATH, as on the login '
                'node of a cluster. Without --launcher runs go on here.'
            )
    if os.environ.get('GPUS', '1') not in ('0', '1'):
        raise StudyError(
            f'GPUS={os.environ["GPUS"]} is too many: each run of a study is '
            'on one GPU. Expected 1, or 0 for CPUs.'
        )
    with locked(study.work_dir):
        session = Session.from_study(study, None, console)
        _measure_ended(study, session)
        # New jobs may not be in the queue yet; they have not failed.
        submitted = _submit(study, session.remaining, at_once, console)
        waiting = submitted | _measure_ended(study, session)
        while wait and waiting:
            time.sleep(POLL_SECONDS)
            waiting = _measure_ended(study, session)
        for entry in [e for e in session.remaining if _key(e) not in waiting]:
            session.on_run_ended(entry.run, _failure_of(entry))
    console.print(f'{len(waiting)} runs in the queue of Slurm')
    session.raise_failures()


def check_not_queued(study: Study) -> None:
    """Check that no run of a study is in the queue of Slurm.

    Raises:
        StudyError: If there is one.
    """
    if shutil.which('squeue') and queued_tasks(study):
        raise StudyError(
            f'runs of {study.path} are in the queue of Slurm: '
            f'{", ".join(queued_tasks(study).values())}. Go on with '
            '--launcher slurm, or end them with scancel.'
        )


def queued_tasks(study: Study) -> dict[str, str]:
    """The task of each run that is in Slurm's queue, by the run's key."""
    path = study.work_dir / TASKS
    if not path.exists():
        return {}
    user = getpass.getuser()
    queue = _call('squeue', '-h', '-r', '-o', '%F_%K', '-u', user).split()
    tasks = json.loads(path.read_text('utf-8'))
    return {key: task for key, task in tasks.items() if task in queue}


def run_task(study: Study, keys: Sequence[str]) -> None:
    """Train the run of this task of an array, on a node of the cluster.

    Args:
        study: The study, unchanged since the array was submitted.
        keys: Keys of the runs of the array, by task index.

    Raises:
        StudyError: If the study no longer has this run.
        TrainingError: If the training fails.
    """
    key = keys[int(os.environ['SLURM_ARRAY_TASK_ID'])]
    found = [e for e in plan_study(study) if _key(e) == key]
    if not found:
        raise StudyError(f'{study.path} has no run {key} any more.')
    check_and_record_command(found[0])
    with Progress(disable=True) as progress:
        train_all([found[0].run], progress, cpu_slots(1))


def _key(entry: Entry) -> str:
    """Key of a run: its folder below the work dir of the study."""
    return f'{entry.row.name}/seed_{entry.seed}'


def _measure_ended(study: Study, session: Session) -> dict[str, str]:
    """Measure runs with a final checkpoint; returns the queued tasks."""
    waiting = queued_tasks(study)
    for entry in [e for e in session.remaining if _key(e) not in waiting]:
        if checkpoint_problem(entry.run.checkpoint) is None:
            session.on_run_ended(entry.run, None)
    return waiting


def _failure_of(entry: Entry) -> str:
    run = entry.run
    if (run.folder / STARTS_FILE).exists():
        return f'{run.title} left no {run.checkpoint.name}; see {run.log}'
    return (
        f'{run.title} was not started; see slurm_*.log in the work dir, or '
        'the failure of what it waits for'
    )


def _submit(
    study: Study,
    remaining: Sequence[Entry],
    at_once: int | None,
    console: Console,
) -> dict[str, str]:
    """Submit the runs not in the queue, grouped by their dependencies.

    Dependencies come first, so that their task is known.

    Returns:
        The task of each run that was submitted.
    """
    queued = queued_tasks(study)
    tasks = dict(queued)
    sources = {entry.run.checkpoint: _key(entry) for entry in remaining}
    rest = [entry for entry in remaining if _key(entry) not in tasks]
    while rest:
        needs = {
            _key(e): {sources[p] for p in e.run.after if p in sources}
            for e in rest
        }
        ready = [e for e in rest if needs[_key(e)].isdisjoint(needs)]
        first = needs[_key(ready[0])]
        array = [_key(e) for e in ready if needs[_key(e)] == first]
        rest = [e for e in rest if _key(e) not in array]
        after = sorted(tasks[key] for key in first)
        job = _submit_array(study, array, after, at_once)
        tasks |= {key: f'{job}_{i}' for i, key in enumerate(array)}
        write_atomically(study.work_dir / TASKS, json.dumps(tasks, indent=1))
        console.print(f'job {job}: {", ".join(array)}', soft_wrap=True)
    return {key: task for key, task in tasks.items() if key not in queued}


def _submit_array(
    study: Study,
    keys: Sequence[str],
    after: Sequence[str],
    at_once: int | None,
) -> str:
    """Call sbatch; returns the job id."""
    tool = f'{package_root()}/tools/study.py'
    command = [sys.executable, tool, str(study.path), '--task', *keys]
    limit = f'%{at_once}' if at_once else ''
    options = [
        '--parsable',
        '--requeue',
        '--open-mode=append',
        f'--array=0-{len(keys) - 1}{limit}',
        f'--job-name={study.path.stem}',
        f'--output={study.work_dir}/slurm_%A_%a.log',
        f'--gres=gpu:{os.environ.get("GPUS", "1")}',
        f'--cpus-per-task={os.environ.get("CPUS_PER_TASK", "5")}',
    ]
    if after:
        options += [
            f'--dependency=afterok:{":".join(after)}',
            '--kill-on-invalid-dep=yes',  # otherwise it stays in the queue
        ]
    options += os.environ.get('SBATCH_ARGS', '').split()
    output = _call('sbatch', *options, '--wrap', f'exec {shlex.join(command)}')
    return output.strip().partition(';')[0]


def _call(*command: str) -> str:
    """Output of a Slurm command."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise StudyError(
            f'{command[0]} failed with exit code {done.returncode}: '
            f'{done.stderr.strip()}'
        )
    return done.stdout
