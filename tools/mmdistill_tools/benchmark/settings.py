"""What a run of the benchmark is asked for."""

import ast
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from . import BenchmarkError
from .models import PAIRS, Pair, Size

ROUNDS = dict(cpu=7, cuda=25, quick=2)
#: Seconds that the time of a loss is taken over, as some take little.
SHORTEST = dict(cpu=0.02, cuda=0.05, quick=0.0)


@dataclass
class Settings:
    """Options of ``tools/benchmark.py``.

    Attributes:
        device: ``cpu`` or ``cuda``.
        rounds: Times taken of each contender; None: by device.
        threads: Of torch on the CPU; None: as torch has them.
        seed: Of weights, batches and random numbers.
        precision: ``fp32``; ``tf32`` for its products on a GPU; ``bf16`` or
            ``fp16`` for autocast of whole steps.
        peer: Name of the peer, or None.
        models: Names of :data:`PAIRS`.
        size: Height and width of images in pixels; None: by model.
        batch: Images of a batch; None: by model.
        switches: Teacher switches of each further contender of ours.
        quick: Whether sizes and models are small.
        scaling: Whether losses are measured over many sizes, too.
    """

    device: str = 'cpu'
    rounds: int | None = None
    threads: int | None = None
    seed: int = 0
    precision: str = 'fp32'
    peer: str | None = None
    models: Sequence[str] = tuple(PAIRS)
    size: Size | None = None
    batch: int | None = None
    switches: Sequence[dict[str, Any]] = field(default_factory=list)
    quick: bool = False
    scaling: bool = True

    def check(self) -> None:
        """Refuse what this machine cannot do, and set the threads.

        Raises:
            BenchmarkError: If it cannot.
        """
        if self.device == 'cuda' and not torch.cuda.is_available():
            raise BenchmarkError(
                '--device cuda: torch sees no GPU here (torch '
                f'{torch.__version__}, {platform.system()}). Use --device '
                'cpu, or a CUDA build of torch on a machine that has one.'
            )
        for name in ('rounds', 'threads', 'batch'):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BenchmarkError(
                    f'--{name} must be 1 or more, got {value}.'
                )
        if self.threads:
            torch.set_num_threads(self.threads)

    @property
    def kind(self) -> str:
        """What sizes are chosen by."""
        return 'quick' if self.quick else self.device

    @property
    def turns(self) -> int:
        """Rounds, asked for or by device."""
        return self.rounds or ROUNDS[self.kind]

    @property
    def shortest(self) -> float:
        """Seconds that the time of a loss is taken over."""
        return SHORTEST[self.kind]

    def images(self, pair: Pair) -> tuple[int, Size]:
        """Number of images of a batch, and their height and width."""
        count, size = pair.sizes[self.kind]
        return self.batch or count, self.size or size


def parse_switches(text: str) -> dict[str, Any]:
    """``precision=bf16,fold_bn=True`` as a dict.

    Raises:
        BenchmarkError: If it is not of this form.
    """
    found = {}
    for part in filter(None, text.split(',')):
        key, equals, value = part.partition('=')
        if not (equals and key.strip().isidentifier() and value.strip()):
            raise BenchmarkError(
                f'--switches {text!r}: {part!r} is not key=value. Expected '
                'settings of the teacher, as in '
                'precision=bf16,channels_last=True.'
            )
        found[key.strip()] = _literal(value.strip())
    if not found:
        raise BenchmarkError('--switches is empty. Expected key=value.')
    return found


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
