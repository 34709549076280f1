"""Run a study: configs x option sets x seeds, one table at the end.

What is missing is trained, one run after another or several at once; the
results file gets each run as it ends, and the same command goes on after an
interruption. docs/studies.md describes the file.
"""

import argparse
import sys
from pathlib import Path

from mmengine.logging import MMLogger
from rich.console import Console

from mmdistill_tools.runs import TrainingError
from mmdistill_tools.runs.tool import exit_with_message
from mmdistill_tools.runs.training import cpu_slots
from mmdistill_tools.study.definition import read_study
from mmdistill_tools.study.outputs import (
    draw_examples,
    draw_figures,
    update_document,
    write_report,
)
from mmdistill_tools.study.results import ResultsFile
from mmdistill_tools.study.session import run_study
from mmdistill_tools.study.slurm import (
    check_not_queued,
    run_on_slurm,
    run_task,
)
from mmdistill_tools.study.tables import scores_table


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('study', type=Path, metavar='STUDY.yaml')
    parser.add_argument(
        '--jobs',
        type=int,
        metavar='N',
        help='runs at once (default: 1, or one on each of --gpus); on CPUs '
        'they share the cores',
    )
    parser.add_argument(
        '--gpus',
        metavar='LIST',
        help='such as 0,1,2: runs are spread over these',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'slurm'],
        default='none',
        help='slurm: submit the runs as arrays of jobs, --jobs of each at a '
        'time; the same call later gathers their results',
    )
    parser.add_argument(
        '--wait',
        action='store_true',
        help='with --launcher slurm: until no run is in the queue',
    )
    parser.add_argument('--task', nargs='+', help=argparse.SUPPRESS)
    parser.add_argument(
        '--report',
        action='store_true',
        help='train nothing; write tables and figures of what is there',
    )
    parser.add_argument(
        '--documents',
        nargs='+',
        type=Path,
        default=(),
        metavar='FILE.md',
        help='write the tables into these, where they ask for them',
    )
    parser.add_argument(
        '--examples',
        nargs='+',
        metavar='ROW',
        help='draw validation images with the predictions of these rows',
    )
    parser.add_argument(
        '--images',
        nargs='+',
        type=int,
        default=(0, 20, 40, 60),
        metavar='INDEX',
        help='validation images of --examples (default: 0 20 40 60)',
    )
    args = parser.parse_args()
    if args.jobs is not None and args.jobs < 1:
        parser.error(f'--jobs must be 1 or more, got {args.jobs}')
    if args.launcher == 'slurm' and args.gpus is not None:
        parser.error(
            '--gpus is for this machine; Slurm gives each run its own'
        )
    if args.wait and args.launcher != 'slurm':
        parser.error('--wait is for --launcher slurm')
    return args


def slots(args):
    """Environment of each slot."""
    if args.gpus is None:
        return cpu_slots(args.jobs or 1)
    gpus = [name.strip() for name in args.gpus.split(',')]
    count = args.jobs or len(gpus)
    return [
        {'CUDA_VISIBLE_DEVICES': gpus[index % len(gpus)]}
        for index in range(count)
    ]


def report(study, args, console):
    """Write tables and figures of the existing results."""
    results = ResultsFile(study.results)
    if not results.results:
        raise TrainingError(f'{study.results} has no results yet.')
    console.print(scores_table(study, results), soft_wrap=True)
    written = [write_report(study, results), *draw_figures(study, results)]
    if args.examples:
        written.append(draw_examples(study, args.examples, args.images))
    for path in args.documents:
        if update_document(path, Path.cwd()):
            written.append(path)
    console.print(f'Written: {", ".join(map(str, written))}', soft_wrap=True)


def main():
    args = parse_args()
    # Titles may have brackets, which are not markup.
    console = Console(file=sys.stdout, markup=False)
    MMLogger.get_current_instance().setLevel('ERROR')
    with exit_with_message('study'):
        study = read_study(args.study)
        if args.task:
            run_task(study, args.task)
            return
        if args.launcher == 'slurm' and not args.report:
            run_on_slurm(study, args.jobs, args.wait, console)
            if not ResultsFile(study.results).results:
                return  # the first runs are in the queue
        elif not args.report:
            check_not_queued(study)
            run_study(study, slots(args), console)
        report(study, args, console)


if __name__ == '__main__':
    main()
