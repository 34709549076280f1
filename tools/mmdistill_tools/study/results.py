"""The results file: scores, cost and origin of every run."""

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mmdistill_dense.compat import package_root
from mmdistill_tools.runs.tool import write_atomically

from . import StudyError
from .plan import Entry


@dataclass(frozen=True)
class Result:
    """Result of one run.

    Attributes:
        row: Name of the row.
        seed: Seed of the run.
        scores: Scores on the validation set at the end, in points.
        classes: Score of each class, in points; None for a class that is not
            in the set.
        length: Number of iterations or epochs.
        parameters: Number of parameters of the tested model.
        flops: FLOPs of one image, 2 per multiply-add.
        train_seconds: Wall time of the training, over all its starts.
        peak_mib: Peak memory in MiB: on a GPU what torch allocated, on a
            CPU the resident memory of the training process; None if unknown.
        starts: Number of starts of the training.
        command: Command line that trains the run.
        commit: Commit of this package, ``-dirty`` with uncommitted changes
            of its code; several if the run was resumed with another; None
            outside a checkout.
        versions: Versions of Python and packages.
        machine: Processor, cores, threads, runs side by side, GPU.
        ended: Date and time, UTC.
    """

    row: str
    seed: int
    scores: dict[str, float]
    classes: dict[str, float | None]
    length: int
    parameters: int
    flops: int
    train_seconds: float
    peak_mib: float | None
    starts: int
    command: str
    commit: str | None
    versions: dict[str, str]
    machine: dict[str, object]
    ended: str


class ResultsFile:
    """Results in a JSON file, which is rewritten with each result.

    Args:
        path: The file, which need not exist.

    Raises:
        StudyError: If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.results: list[Result] = []
        if not path.exists():
            return
        try:
            runs = json.loads(path.read_text('utf-8'))['runs']
            self.results = [_check_types(Result(**run)) for run in runs]
            self._check_unique()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StudyError(
                f'{path} cannot be read as results of a study: {error!r}. '
                'Restore it from version control, or move it away.'
            ) from error

    def get(self, row: str, seed: int) -> Result | None:
        """The result of a row and seed, or None."""
        for result in self.results:
            if (result.row, result.seed) == (row, seed):
                return result
        return None

    def by_seed(self, row: str) -> dict[int, Result]:
        """All results of a row by seed."""
        return {r.seed: r for r in self.results if r.row == row}

    def add(self, result: Result) -> None:
        """Add a result and rewrite the file atomically.

        Results that another process has added meanwhile are kept.
        """
        results = [*ResultsFile(self.path).results, result]
        results.sort(key=lambda r: (r.row, r.seed))
        content = dict(runs=[asdict(result) for result in results])
        text = json.dumps(content, indent=1, allow_nan=False)
        write_atomically(self.path, f'{text}\n')
        self.results = results

    def _check_unique(self) -> None:
        """Refuse duplicate results, such as from merged branches."""
        found = set()
        for result in self.results:
            if (result.row, result.seed) in found:
                raise ValueError(
                    f'row {result.row!r}, seed {result.seed} comes twice'
                )
            found.add((result.row, result.seed))


def _check_types(result: Result) -> Result:
    """Check types now; an edited file would break a table later."""
    kinds = dict(row=str, seed=int, scores=dict, length=int, command=str)
    for key, kind in kinds.items():
        if not isinstance(getattr(result, key), kind):
            raise TypeError(f'{key} of {result.row!r} must be {kind.__name__}')
    for key, score in result.scores.items():
        if not isinstance(score, (int, float)):
            raise TypeError(f'{key} of {result.row!r} must be a number')
    return result


def check_same_command(entry: Entry, result: Result) -> None:
    """Check that a result was made by the command of its entry.

    Raises:
        StudyError: If the run had other settings.
    """
    now = command(entry)
    if result.command != now:
        raise StudyError(
            f'row {result.row!r}, seed {result.seed} was run with other '
            f'settings than the study has now.\nThen: {result.command}\n'
            f'Now:  {now}\nGive the row another name, or remove its result '
            'from the results file and its folder from the work dir.'
        )


def command(entry: Entry) -> str:
    """Shell command that trains an entry, or tests a finished model."""
    run = entry.run
    if run.pretrained_checkpoint is not None:
        options = run.option_arguments()
        path = run.pretrained_checkpoint.resolve()
        root = Path(package_root()).resolve()
        if path.is_relative_to(root):  # the same on every machine
            path = path.relative_to(root)
        words = [run.config, str(path), *options]
        return shlex.join(['python', 'tools/test.py', *words])
    return shlex.join(['python', 'tools/train.py', *run.arguments()])


def json_safe(values: Mapping[str, float]) -> dict[str, float | None]:
    """Values rounded to three digits; None for nan, which JSON lacks."""
    return {
        key: round(value, 3) if math.isfinite(value) else None
        for key, value in values.items()
    }
