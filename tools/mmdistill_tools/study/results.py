"""The results file: what every run gave, and how it was made."""

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mmdistill_tools.runs.tool import write_atomically

from . import StudyError
from .plan import Entry


@dataclass(frozen=True)
class Result:
    """What one run gave.

    Attributes:
        row: Name of its row.
        seed: Of the run.
        scores: Of the validation set at the end of the run, in points.
        classes: The score of each class, in points; None of one that the
            set does not have.
        length: Iterations or epochs.
        parameters: Of the model that is tested: number of parameters.
        flops: Of one image, 2 per multiply-add.
        train_seconds: Wall time of the training, over all its starts.
        peak_mib: Peak memory in MiB: on a GPU what torch allocated, on a
            CPU the resident memory of the training process; None if unknown.
        starts: How often the training was started.
        command: What trained it.
        commit: Of this package, ``-dirty`` if its code has changes that are
            not committed; several if the run went on with another; None if
            it is no checkout.
        versions: Of Python and packages.
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
    """Results in a JSON file, written anew with each one.

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
        """The result of a row and seed, if there is one."""
        for result in self.results:
            if (result.row, result.seed) == (row, seed):
                return result
        return None

    def by_seed(self, row: str) -> dict[int, Result]:
        """All results of a row by seed."""
        return {r.seed: r for r in self.results if r.row == row}

    def add(self, result: Result) -> None:
        """Write the file with one result more; never half of it.

        What it has got from elsewhere meanwhile stays.
        """
        results = [*ResultsFile(self.path).results, result]
        results.sort(key=lambda r: (r.row, r.seed))
        content = dict(runs=[asdict(result) for result in results])
        text = json.dumps(content, indent=1, allow_nan=False)
        write_atomically(self.path, f'{text}\n')
        self.results = results

    def _check_unique(self) -> None:
        """Two branches that were merged may have a run each."""
        found = set()
        for result in self.results:
            if (result.row, result.seed) in found:
                raise ValueError(
                    f'row {result.row!r}, seed {result.seed} comes twice'
                )
            found.add((result.row, result.seed))


def _check_types(result: Result) -> Result:
    """A file that was edited may hold what breaks a table only later."""
    kinds = dict(row=str, seed=int, scores=dict, length=int, command=str)
    for key, kind in kinds.items():
        if not isinstance(getattr(result, key), kind):
            raise TypeError(f'{key} of {result.row!r} must be {kind.__name__}')
    for key, score in result.scores.items():
        if not isinstance(score, (int, float)):
            raise TypeError(f'{key} of {result.row!r} must be a number')
    return result


def check_same_command(entry: Entry, result: Result) -> None:
    """A result must be of the very run that the study describes now.

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
    """What trains an entry, or tests a finished model, for a shell."""
    run = entry.run
    if run.finished:
        options = run.option_arguments()
        words = [run.config, str(run.finished), *options]
        return shlex.join(['python', 'tools/test.py', *words])
    return shlex.join(['python', 'tools/train.py', *run.arguments()])


def json_safe(values: Mapping[str, float]) -> dict[str, float | None]:
    """To three digits; JSON has no nan."""
    return {
        key: round(value, 3) if math.isfinite(value) else None
        for key, value in values.items()
    }
