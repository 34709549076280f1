"""Train and measure the missing runs of a study."""

from collections.abc import Callable, Iterable, Sequence

from rich.console import Console

from mmdistill_dense.hooks.checkpoint_files import checkpoint_problem
from mmdistill_tools.runs.run import Run
from mmdistill_tools.runs.training import progress_bars, train_all

from . import StudyError
from .definition import Study
from .devices import use_gpus
from .folders import check_and_record_command, locked
from .measure import measure
from .plan import Entry, plan_study
from .results import ResultsFile, check_same_command
from .timing import format_duration, seconds_left


def run_study(
    study: Study, slots: Sequence[dict[str, str]], console: Console
) -> None:
    """Train and measure the runs without a result.

    Args:
        study: The study.
        slots: Environment of each slot; as many runs train side by side.
        console: Prints what is done and what is left.

    Raises:
        StudyError: If a result or folder was made with settings other than
            those of the study, or at the end, if runs failed; the others are
            finished by then.
    """
    use_gpus(slots)
    with locked(study.work_dir):
        Session.from_study(study, len(slots), console).train(slots)


def entries_to_train(
    entries: Sequence[Entry], results: ResultsFile, checkpoints: bool = False
) -> list[Entry]:
    """Entries without a result, and their missing dependencies.

    Without a readable checkpoint a dependency is missing, as in a fresh
    work dir; with ``checkpoints`` every entry is.

    Raises:
        StudyError: If a result has other settings than the study.
    """
    needed = entries_without_result(entries, results)
    if checkpoints:
        lost = [e for e in entries if checkpoint_problem(e.run.checkpoint)]
        needed += [entry for entry in lost if entry not in needed]
    for entry in needed:  # needed grows while it is iterated over
        for path in entry.run.after:
            source = next(e for e in entries if e.run.checkpoint == path)
            if checkpoint_problem(path) and source not in needed:
                needed.append(source)
    return [entry for entry in entries if entry in needed]


def entries_without_result(
    entries: Sequence[Entry], results: ResultsFile
) -> list[Entry]:
    """Entries without a result.

    Raises:
        StudyError: If a result was made with settings other than those of
            the study.
    """
    missing = []
    for entry in entries:
        found = results.get(entry.row.name, entry.seed)
        if found:
            check_same_command(entry, found)
        else:
            missing.append(entry)
    return missing


class Session:
    """The runs of one call, with their results and failures.

    Args:
        results: File to which the result of each run is added.
        remaining: Runs that have not ended yet.
        at_once: Number of runs side by side, for the remaining time; None if
            unknown.
        console: Prints what is done and what is left.
    """

    def __init__(
        self,
        results: ResultsFile,
        remaining: list[Entry],
        at_once: int | None,
        console: Console,
    ) -> None:
        self.remaining = remaining
        self._results = results
        self._at_once = at_once
        self._console = console
        self._failures: list[str] = []

    @classmethod
    def from_study(
        cls,
        study: Study,
        at_once: int | None,
        console: Console,
        checkpoints: bool = False,
    ) -> 'Session':
        """A session of all runs to do; the caller must lock the work dir.

        Raises:
            StudyError: If a result or folder has other settings.
        """
        entries = plan_study(study)
        results = ResultsFile(study.results)
        remaining = entries_to_train(entries, results, checkpoints)
        for entry in remaining:
            if entry.run.pretrained_checkpoint is None:
                check_and_record_command(entry)
        return cls(results, remaining, at_once, console)

    def train(
        self,
        slots: Sequence[dict[str, str]],
        on_result: Callable[[], None] = lambda: None,
    ) -> None:
        """Train all remaining runs on this machine.

        Args:
            slots: Environment of each slot.
            on_result: Called after each run that has ended, while others
                train; if it raises, they are terminated.

        Raises:
            StudyError: At the end, if a run failed.
        """
        self._print_remaining()
        with progress_bars(self._console) as progress:
            runs = [entry.run for entry in self.remaining]

            def on_run_ended(run: Run, failure: str | None) -> None:
                self.on_run_ended(run, failure)
                on_result()

            train_all(runs, progress, slots, on_run_ended)
        if self.remaining:
            names = ', '.join(entry.run.title for entry in self.remaining)
            self._failures.append(
                f'not started, because a run they depend on failed: {names}'
            )
        self.raise_failures()

    def has_ended(self, entries: Iterable[Entry]) -> bool:
        """Whether all of these entries are trained and have a result."""
        left = {(entry.row.name, entry.seed) for entry in self.remaining}
        return all(
            (entry.row.name, entry.seed) not in left
            and self._results.get(entry.row.name, entry.seed)
            for entry in entries
        )

    def on_run_ended(self, run: Run, failure: str | None) -> None:
        """Measure a run that has ended; record a failed one."""
        entry = next(e for e in self.remaining if e.run is run)
        self.remaining.remove(entry)
        if failure is None:
            failure = self._measure(entry)
        if failure:
            self._failures.append(failure)
            self._console.print(f'{run.title} failed', style='red')
        self._print_remaining()

    def raise_failures(self) -> None:
        """Raise a StudyError with all failures, if there are any."""
        if self._failures:
            raise StudyError('\n\n'.join(self._failures))

    def _measure(self, entry: Entry) -> str | None:
        """Add the result of a run; returns an error message or None."""
        if self._results.get(entry.row.name, entry.seed):
            self._console.print(
                f'{entry.run.title}: retrained because its checkpoint was '
                'missing and other runs depend on it; its earlier result is '
                'kept',
                soft_wrap=True,
            )
            return None
        try:
            result = measure(entry)
            self._results.add(result)
        except StudyError as error:
            return str(error)
        except Exception as error:  # the other runs continue
            return f'{entry.run.title} could not be measured: {error!r}'
        scores = ', '.join(f'{k} {v:.2f}' for k, v in result.scores.items())
        text = f'{entry.run.title}: {scores or "done"}'
        self._console.print(text, soft_wrap=True)
        return None

    def _print_remaining(self) -> None:
        text = f'{len(self.remaining)} runs left'
        if self._at_once:
            waiting = [(e.row, e.run.length) for e in self.remaining]
            results = self._results.results
            seconds = seconds_left(waiting, results, self._at_once)
            text += f', {format_duration(seconds)}'
        self._console.print(text, soft_wrap=True)
