"""Run all checks that need a GPU, in under nine minutes.

    python tools/dev/gpu_check.py [--wheels DIR] [--data DIR] [--out DIR]

No network is needed. The parts run one after another, through the public
commands and the tests, each with a time limit of its own; what one has left
of the nine minutes is there for the next. After each, what is known so far is
written, so a run that is cut off leaves what it had:

    gpu_check.json   each part's outcome and numbers, versions, the GPU
    gpu_check.txt    the same, to read
    gpu_check.log    everything that the commands printed
    *.json           results of tools/benchmark.py

The exit code is 0 if every part passed. A part that could not run, or ran
without something (mmrazor, a test) counts as skipped, and the code is 1.
"""

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

from gpu_commands import ROOT, Check, PartFailed, PartSkipped
from gpu_measuring import PEER, environment, kernels, losses, memory, step
from gpu_training import distil, teacher, trainings

#: Function and maximum seconds of each part, by name.
PARTS = {
    'environment': (environment, 120),
    'kernels': (kernels, 90),
    'losses': (losses, 75),
    'step-fp32': (step('fp32'), 100),
    'step-tf32': (step('tf32'), 100),
    'step-bf16': (step('bf16'), 80),
    'step-fp16': (step('fp16'), 80),
    'memory': (memory, 75),
    'teacher': (teacher, 90),
    'trainings': (trainings, 120),
    'distil': (distil, 75),
}
#: Total time limit in minutes.
MINUTES = 9
#: Parts that depend on another part.
NEEDED = {'trainings': 'teacher', 'distil': 'teacher'}
PARTS_HELP = f'only these, and what they need: {", ".join(PARTS)}'


def chosen(names: list[str] | None) -> list[str]:
    """The parts of a run, in their order, with those that they need."""
    if not names:
        return list(PARTS)
    needed = {NEEDED[name] for name in names if name in NEEDED}
    wanted = {'environment', *names, *needed}
    return [name for name in PARTS if name in wanted]


def run_part(check: Check, name: str, end: float) -> dict:
    """Run one part; its exceptions become part of the outcome.

    Args:
        check: Runs its commands.
        name: Name of the part.
        end: End of the total time limit, on the monotonic clock.
    """
    part, longest = PARTS[name]
    start = time.monotonic()
    # A dry run on a CPU may take longer.
    longest *= 3 if check.dry else 1
    limit = round(max(0, min(longest, end - start)))
    check.deadline = start + limit
    check.facts = {}
    outcome = dict(name=name, status='passed', limit=limit)
    try:
        check.facts.update(part(check) or {})
    except PartSkipped as skip:
        outcome.update(status='skipped', why=str(skip))
    except TimeoutError as cut:
        outcome.update(status='cut off', why=f'after {limit} s, in: {cut}')
    except PartFailed as failure:
        outcome.update(status='failed', why=str(failure))
    except Exception as error:  # the next part goes on
        why = f'{type(error).__name__}: {error}'
        outcome.update(status='failed', why=why)
    seconds = round(time.monotonic() - start, 1)
    return dict(outcome, seconds=seconds, facts=check.facts)


def write(check: Check, report: dict) -> None:
    """Rewrite both files atomically, after each part."""
    lines = [f'$ {report["command"]}', f'{report["commit"]}, {report["at"]}']
    for part in report['parts']:
        lines.append('')
        lines.append(f'{part["name"]}: {part["status"]}, {part["seconds"]} s')
        if 'why' in part:
            lines.append(f'  {part["why"]}')
        for key, value in part['facts'].items():
            lines += listed(key, value)
    files = {
        'gpu_check.json': json.dumps(report, indent=1),
        'gpu_check.txt': '\n'.join(lines),
    }
    for name, text in files.items():
        path = check.out / f'{name}.part'
        path.write_text(f'{text}\n', encoding='utf-8')
        path.replace(check.out / name)


def listed(key: str, value: object, indent: str = '  ') -> list[str]:
    """A fact as lines of text; a dict of plain values takes one."""
    if not isinstance(value, dict):
        return [f'{indent}{key}: {value}']
    if any(isinstance(inner, dict) for inner in value.values()):
        lines = [f'{indent}{key}:']
        for name, inner in value.items():
            lines += listed(name, inner, f'{indent}  ')
        return lines
    inner = ', '.join(f'{name} {one}' for name, one in value.items())
    return [f'{indent}{key}: {inner}']


def commit() -> str:
    """Commit of the checkout, which may have no git history."""
    command = ['git', 'describe', '--always', '--dirty']
    try:
        done = subprocess.run(
            command, cwd=ROOT, check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return 'commit unknown'
    return f'commit {done.stdout.strip()}'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add('--wheels', type=Path, metavar='DIR', help='installed for this run')
    add('--data', type=Path, metavar='DIR', help='CamVid; default: drawn')
    add('--out', type=Path, metavar='DIR', default=Path('gpu_check'))
    add('--parts', nargs='+', choices=PARTS, metavar='PART', help=PARTS_HELP)
    add('--minutes', type=float, default=MINUTES, help='for all of them')
    add('--no-peer', action='store_true', help=f'without {PEER}')
    add('--dry-run', action='store_true', help='all of it, tiny, on a CPU')
    args = parser.parse_args()
    for name in ('wheels', 'data'):
        folder = getattr(args, name)
        if folder is not None and not folder.is_dir():
            parser.error(f'--{name} {folder}: there is no such folder.')
    return args


def run(check: Check) -> bool:
    """Run the parts and write the report; returns whether all passed."""
    args = check.args
    report = dict(
        command=shlex.join(
            ['python', 'tools/dev/gpu_check.py', *sys.argv[1:]]
        ),
        commit=commit(),
        at=datetime.now(timezone.utc).isoformat(timespec='seconds'),
        dry_run=args.dry_run,
        parts=[],
    )
    end = time.monotonic() + 60 * args.minutes * (3 if args.dry_run else 1)
    for name in chosen(args.parts):
        outcome = run_part(check, name, end)
        report['parts'].append(outcome)
        write(check, report)
        why = f': {outcome["why"]}' if 'why' in outcome else ''
        seconds = f'{outcome["seconds"]:6.1f} s'
        print(f'{seconds}  {name}: {outcome["status"]}{why}', flush=True)
        if name == 'environment' and outcome['status'] != 'passed':
            break
    print(f'Written: {check.out}')
    return all(part['status'] == 'passed' for part in report['parts'])


def main() -> None:
    args = parse_args()
    with tempfile.TemporaryDirectory(prefix='gpu_check-') as work:
        passed = run(Check(args, Path(work)))
    raise SystemExit(0 if passed else 1)


if __name__ == '__main__':
    main()
