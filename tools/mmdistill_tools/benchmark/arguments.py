"""Command line and settings of ``tools/benchmark.py``."""

import argparse
import ast
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from . import BenchmarkError
from .pairs import PAIRS, Pair, Size

#: Label of this package in results and tables.
PACKAGE = 'mmdistill_dense'
#: The peer, and its install command.
PEER = 'mmrazor'
INSTALL = 'pip install --no-deps mmrazor==1.0.0 ordered-set'
MODES = dict(
    losses='every loss by itself, against other forms of it and over sizes',
    step='whole training steps: student, floor, distilled, peer',
    memory='peak memory of whole training steps',
)
ROUNDS = dict(cpu=7, cuda=25, quick=2)
#: Minimum seconds over which a loss is timed, as some are fast.
MIN_SECONDS = dict(cpu=0.02, cuda=0.05, quick=0.0)


class Settings(argparse.Namespace):
    """Options of the command line, and values derived from them."""

    def check(self) -> None:
        """Check that the device exists, and set the threads.

        Raises:
            BenchmarkError: If torch sees no GPU.
        """
        if self.device == 'cuda' and not torch.cuda.is_available():
            raise BenchmarkError(
                '--device cuda: torch sees no GPU here (torch '
                f'{torch.__version__}, {platform.system()}). Use --device '
                'cpu, or a CUDA build of torch on a machine that has one.'
            )
        if self.threads:
            torch.set_num_threads(self.threads)

    @property
    def num_rounds(self) -> int:
        """Number of rounds, as set or by device."""
        return self.rounds or self.by_device(ROUNDS)

    @property
    def min_seconds(self) -> float:
        """Minimum seconds over which a loss is timed."""
        return self.by_device(MIN_SECONDS)

    def by_device(self, table: dict[str, Any]) -> Any:
        """The entry for ``quick``, or for the device."""
        return table['quick' if self.quick else self.device]

    def images(self, pair: Pair) -> tuple[int, Size]:
        """Number of images of a batch, and their height and width."""
        count, size = self.by_device(pair.sizes)
        return self.batch or count, tuple(self.size or size)


def parse(
    description: str | None, arguments: Sequence[str] | None = None
) -> Settings:
    """Read a command line: a mode with its options, or ``report``."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest='mode', required=True)
    for mode, text in MODES.items():
        add = commands.add_parser(mode, help=text).add_argument
        _add_common(add)
        if mode == 'losses':
            add(
                '--no-scaling',
                dest='scaling',
                action='store_false',
                help='leave out the many sizes of each loss',
            )
        else:
            _add_models(add)
    add = commands.add_parser(
        'report', help='figures of results, and their tables in documents'
    ).add_argument
    add('results', nargs='+', type=Path, metavar='FILE.json')
    add(
        '--docs',
        nargs='+',
        type=Path,
        default=(),
        metavar='FILE.md',
        help='write the tables into the blocks of these',
    )
    return parser.parse_args(arguments, Settings())


def _add_common(add: Any) -> None:
    add('--peer', choices=[PEER], help=f'needs: {INSTALL}')
    add('--device', choices=['cpu', 'cuda'], default='cpu')
    add('--out', type=Path, metavar='FILE.json', help='results')
    add('--rounds', type=_count, help='times of each (default: by device)')
    add('--threads', type=_count, help='of torch on the CPU')
    seeded = 'of weights, batches and random numbers'
    add('--seed', type=int, default=0, help=seeded)
    add(
        '--precision',
        choices=['fp32', 'tf32', 'bf16', 'fp16'],
        default='fp32',
        help='for all alike: float32 products in TF32 on a GPU, or autocast',
    )
    add('--quick', action='store_true', help='small sizes, for tests')


def _add_models(add: Any) -> None:
    names = list(PAIRS)
    add(
        '--model',
        dest='models',
        nargs='+',
        choices=names,
        default=names,
        help='(default: all)',
    )
    add('--size', type=int, nargs=2, metavar=('H', 'W'), help='pixels')
    add('--batch', type=_count, help='images')
    add(
        '--switches',
        action='append',
        type=parse_switches,
        default=[],
        metavar='KEY=VALUE,...',
        help='settings of the teacher, for one more contender; repeatable',
    )


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'must be 1 or more, got {text}.')
    return int(text)


def parse_switches(text: str) -> dict[str, Any]:
    """``precision=bf16,fold_bn=True`` as a dict.

    Raises:
        ArgumentTypeError: If it has another form.
    """
    found = {}
    for part in text.split(','):
        key, _, value = map(str.strip, part.partition('='))
        if not (key.isidentifier() and value):
            raise argparse.ArgumentTypeError(
                f'{part!r} of {text!r} is not key=value. Expected settings '
                'of the teacher, as in precision=bf16,channels_last=True.'
            )
        try:
            found[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[key] = value
    return found
