"""Measure distillation beside its floor and a peer, in one run.

    tools/benchmark.py step --peer mmrazor --out step.json
    tools/benchmark.py report step.json --docs docs/performance.md

Contenders take turns; a table shows medians, quartiles and ratios, and the
JSON file has every time and what is needed to do it again. Nothing is
installed: the peer is used where it is there.
"""

import logging
import os
import shlex
import sys
import warnings
from pathlib import Path

# Silences the start messages of torch's profiler; read on import of torch.
os.environ.setdefault('KINETO_LOG_LEVEL', '99')

from mmengine.logging import MMLogger
from rich.console import Console

from mmdistill_tools.benchmark import BenchmarkError
from mmdistill_tools.benchmark.arguments import parse
from mmdistill_tools.benchmark.measurements import read_report
from mmdistill_tools.benchmark.measuring import run
from mmdistill_tools.benchmark.page import update_document
from mmdistill_tools.benchmark.plots import draw_figures


def report(args, console):
    """Write figures next to the results, and tables into documents."""
    written = []
    for path in args.results:
        written += draw_figures(read_report(path), path.with_suffix(''))
    for path in args.docs:
        if update_document(path, Path.cwd()):
            written.append(path)
    console.print(f'Written: {", ".join(map(str, written))}', soft_wrap=True)


def main():
    args = parse(__doc__)
    # Do not wrap table lines in a file or a pipe.
    width = None if sys.stdout.isatty() else 200
    console = Console(width=width, markup=False, highlight=False)
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    warnings.simplefilter('ignore')  # of the hosts, while they build
    try:
        if args.mode == 'report':
            report(args, console)
        else:
            command = shlex.join(
                ['python', 'tools/benchmark.py', *sys.argv[1:]]
            )
            run(args.mode, args, command, console, args.out)
    except BenchmarkError as error:
        raise SystemExit(f'benchmark: {error}') from error


if __name__ == '__main__':
    main()
