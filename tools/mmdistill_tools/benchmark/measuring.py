"""One run of the benchmark, from its settings to its results file."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from rich.console import Console

from mmdistill_tools.runs import provenance

from . import peer
from .losses import run_losses
from .measurements import Report, Section
from .products import float32_products
from .settings import Settings
from .steps import run_memory, run_step
from .tables import tables_of

Mode = Callable[[Settings, Callable[[str], None]], Iterator[Section]]
#: Load of the last minute from which on it is said.
BUSY = 0.5
MODES: dict[str, Mode] = dict(
    losses=run_losses, step=run_step, memory=run_memory
)


def run(
    mode: str,
    settings: Settings,
    command: str,
    console: Console,
    out: Path | None = None,
) -> Report:
    """Measure, show and write.

    The file is written after each section, so an interrupted run leaves what
    it had.

    Args:
        mode: One of :data:`MODES`.
        settings: What is asked for.
        command: What was called, for the results.
        console: Gets tables.
        out: The results file, or none.

    Raises:
        BenchmarkError: If something asked for is not there, or contenders do
            not agree.
    """
    settings.check()
    report = _begin(mode, settings, command, _find_peer(settings, console))
    _warn(report, console)
    with float32_products(settings.precision):
        for section in MODES[mode](settings, console.print):
            report.sections.append(section)
            report.ended = provenance.now()
            for table in tables_of(section):
                console.print(table.rich())
            if out:
                report.write(out)
    if out:
        console.print(f'Written: {out}', soft_wrap=True)
    return report


def _find_peer(settings: Settings, console: Console) -> dict | None:
    """Import the peer if it is asked for, and say what is left out of it."""
    if not settings.peer:
        return None
    found = peer.load()
    left_out = '\n  '.join(f'{k}: {v}' for k, v in found['left_out'].items())
    console.print(
        f'{found["name"]} {found["version"]} is imported without parts that '
        f'nothing here uses:\n  {left_out}'
    )
    return found


def _warn(report: Report, console: Console) -> None:
    """Say why times may mean little."""
    if report.settings['quick']:
        console.print('--quick: small sizes; these numbers say nothing.')
    load = report.machine.get('load_before', 0)
    if load > BUSY:
        console.print(
            f'Other processes are at work here (load {load}): expect wide '
            'quartiles, or wait until they have ended.'
        )


def _begin(
    mode: str, settings: Settings, command: str, found: dict | None
) -> Report:
    """A report without sections."""
    machine = provenance.machine(1, None)
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
            rounds=settings.turns,
            seed=settings.seed,
            quick=settings.quick,
        ),
        found,
    )
