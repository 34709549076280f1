"""The command line of ``tools/benchmark.py``."""

import argparse
from pathlib import Path

from .measuring import MODES
from .models import PAIRS
from .peer import INSTALL, NAME
from .settings import Settings, parse_switches

HELP = dict(
    losses='every loss by itself, against other forms of it and over sizes',
    step='whole training steps: student, floor, ours, peer',
    memory='peak memory of whole training steps',
)


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """A command for each mode, and ``report``."""
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest='mode', required=True)
    for mode in MODES:
        command = commands.add_parser(mode, help=HELP[mode])
        _add_common(command)
        if mode == 'losses':
            command.add_argument(
                '--no-scaling',
                action='store_true',
                help='leave out the many sizes of each loss',
            )
        else:
            _add_models(command)
    report = commands.add_parser(
        'report', help='figures of results, and their tables in documents'
    )
    report.add_argument('results', nargs='+', type=Path, metavar='FILE.json')
    report.add_argument(
        '--docs',
        nargs='+',
        type=Path,
        default=(),
        metavar='FILE.md',
        help='write the tables into these, where they ask for them',
    )
    return parser


def _add_common(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add('--peer', choices=[NAME], help=f'needs: {INSTALL}')
    add('--device', choices=['cpu', 'cuda'], default='cpu')
    add('--out', type=Path, metavar='FILE.json', help='results')
    add('--rounds', type=int, help='times of each (default: by device)')
    add('--threads', type=int, help='of torch on the CPU')
    add('--seed', type=int, default=0)
    add(
        '--precision',
        choices=['fp32', 'tf32', 'bf16', 'fp16'],
        default='fp32',
        help='for all alike: float32 products in TF32 on a GPU, or autocast',
    )
    add('--quick', action='store_true', help='small sizes, for tests')


def _add_models(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        '--model',
        nargs='+',
        choices=list(PAIRS),
        default=list(PAIRS),
        help='(default: all)',
    )
    add('--size', type=int, nargs=2, metavar=('H', 'W'), help='pixels')
    add('--batch', type=int, help='images')
    add(
        '--switches',
        action='append',
        default=[],
        metavar='KEY=VALUE,...',
        help='settings of the teacher, for one more contender; repeatable',
    )


def settings_of(args: argparse.Namespace) -> Settings:
    """What the options of a mode say."""
    settings = Settings(
        device=args.device,
        rounds=args.rounds,
        threads=args.threads,
        seed=args.seed,
        precision=args.precision,
        peer=args.peer,
        quick=args.quick,
    )
    if args.mode == 'losses':
        settings.scaling = not args.no_scaling
    else:
        settings.models = args.model
        settings.size = tuple(args.size) if args.size else None
        settings.batch = args.batch
        settings.switches = [parse_switches(text) for text in args.switches]
    return settings
