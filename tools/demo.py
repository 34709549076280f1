"""See distillation work: data, trainings, table and figures in minutes.

A small PSPNet and a small Mask R-CNN: the teacher, and its student without
and with distillation, on pictures that the package draws itself.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from mmdistill_tools.demo.settings import METHODS, Settings
from mmdistill_tools.demo.steps import run_demo
from mmdistill_tools.runs.tool import exit_with_message


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--method',
        choices=METHODS,
        default='cwd',
        help='how it is distilled; teacher and student of a work dir are '
        'shared by all of them; pcd, which pre-trains a backbone, shows the '
        'PSPNet only (default: cwd)',
    )
    parser.add_argument(
        '--data',
        type=Path,
        metavar='FOLDER',
        help='CamVid, in the layout of configs/camvid/README.md; without it '
        'the embedded data set is drawn',
    )
    parser.add_argument(
        '--work-dir',
        type=Path,
        metavar='FOLDER',
        help='gets everything; the same call again goes on there '
        '(default: work_dirs/demo, with --data work_dirs/demo_camvid)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='of the trainings (default: 0)'
    )
    parser.add_argument(
        '--length',
        type=float,
        default=1.0,
        metavar='FACTOR',
        help='times the iterations: 0.02 for a quick look that teaches '
        'nothing (default: 1)',
    )
    args = parser.parse_args()
    if args.work_dir is None:
        name = 'demo_camvid' if args.data else 'demo'
        args.work_dir = Path('work_dirs', name)
    return args


def main():
    with exit_with_message('demo'):
        run_demo(Settings(**vars(parse_args())), Console(file=sys.stdout))


if __name__ == '__main__':
    main()
