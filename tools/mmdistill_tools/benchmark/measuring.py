"""One run of the benchmark, from its settings to its results file."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from rich.console import Console
from rich.markdown import Markdown

from mmdistill_tools.runs import provenance

from . import peer
from .arguments import Settings
from .columns import table_of
from .losses import run_losses
from .measurements import Report, Section
from .precision import float32_products
from .steps import run_memory, run_step

Run = Callable[[Settings, Callable[[str], None]], Iterator[Section]]
RUNS: dict[str, Run] = dict(
    losses=run_losses, step=run_step, memory=run_memory
)
#: Load of the last minute above which a warning is printed.
BUSY_LOAD = 0.5


def run(
    mode: str,
    settings: Settings,
    command: str,
    console: Console,
    out: Path | None = None,
) -> Report:
    """Measure, print and write a report.

    Args:
        mode: One of :data:`RUNS`.
        settings: Options.
        command: Command line, for the results.
        console: Prints tables.
        out: Results file, written after each section, or None.

    Raises:
        BenchmarkError: If a peer, a GPU or a switch is missing, or contenders
            do not agree.
    """
    settings.check()
    report = _empty_report(mode, settings, command)
    _warn(report, console)
    with float32_products(settings.precision):
        for section in RUNS[mode](settings, console.print):
            report.sections.append(section)
            report.ended = provenance.utc_now()
            console.print(Markdown(table_of(section)))
            if out:
                report.write(out)
    if out:
        console.print(f'Written: {out}', soft_wrap=True)
    return report


def _empty_report(mode: str, settings: Settings, command: str) -> Report:
    """A report without sections."""
    found = peer.load() if settings.peer else None
    machine = provenance.describe_machine(1, None)
    del machine['runs_at_once']
    machine['threads'] = torch.get_num_threads()
    if hasattr(os, 'getloadavg'):
        machine['load_before'] = round(os.getloadavg()[0], 2)
    if settings.device != 'cuda':
        machine.pop('gpu', None)
    versions = provenance.versions()
    if found:
        versions[found['name']] = found['version']
    return Report(
        mode,
        command,
        provenance.commit(),
        versions,
        machine,
        dict(
            device=settings.device,
            precision=settings.precision,
            rounds=settings.num_rounds,
            seed=settings.seed,
            quick=settings.quick,
        ),
        found,
    )


def _warn(report: Report, console: Console) -> None:
    """Print the omitted parts of the peer, and warnings about the times."""
    if report.peer:
        left_out = report.peer['left_out'].items()
        console.print(
            f'{report.peer["name"]} {report.peer["version"]} is imported '
            'without parts that nothing here uses:\n  '
            + '\n  '.join(f'{name}: {why}' for name, why in left_out)
        )
    if report.settings['quick']:
        console.print('--quick: small sizes; these numbers mean nothing.')
    load = report.machine.get('load_before', 0)
    if load > BUSY_LOAD:
        console.print(
            f'Other processes are at work here (load {load}): expect wide '
            'quartiles, or wait until they have ended.'
        )
