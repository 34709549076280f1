"""The tables of a study, in Markdown."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from mmdistill_tools.documents import markdown_table

from .definition import Row, Study
from .results import Result, ResultsFile
from .statistics import Estimate, estimate, paired_difference


def scores_table(study: Study, results: ResultsFile) -> str:
    """Each row's scores over its seeds, and its gains over the baselines."""
    header = ['']
    metrics = {
        k: v
        for r in study.rows.values()
        if r.scored
        for k, v in r.metrics.items()
    }
    for name in metrics.values():
        titles = (study.rows[row].title for row in study.baselines)
        header += [name, *(f'over: {title}' for title in titles)]
    lines = []
    for row, found in scored_rows(study, results):
        cells = [row.title]
        for key in metrics:
            cells.append(_value(estimate([*_scores(found, key).values()])))
            cells += [
                _gain(study, results, row, other, key)
                for other in study.baselines
            ]
        lines.append([*cells, str(len(found))])
    return markdown_table(*_filled([*header, 'n'], lines))


def _filled(
    header: list[str], lines: list[list[str]]
) -> tuple[list[str], list[list[str]]]:
    """Without columns that are empty, as a score over another task's."""
    used = [0]
    used += [
        index
        for index in range(1, len(header))
        if any(line[index] for line in lines)
    ]
    return (
        [header[index] for index in used],
        [[line[index] for index in used] for line in lines],
    )


def _scores(found: Mapping[int, Result], key: str) -> dict[int, float]:
    return {
        seed: result.scores[key]
        for seed, result in found.items()
        if key in result.scores
    }


def _gain(
    study: Study, results: ResultsFile, row: Row, other: str, key: str
) -> str:
    if row.name == other:
        return ''
    values, reference = (
        _scores(_own_results(r, results), key)
        for r in (row, study.rows[other])
    )
    return _value(paired_difference(values, reference), sign='+', error=True)


def _value(found: Estimate | None, sign: str = '', error: bool = False) -> str:
    """A mean with its deviation, or with its standard error."""
    if found is None:
        return ''
    text = f'{found.mean:{sign}.2f}'
    spread = found.error if error else found.deviation
    return text if spread is None else f'{text} ± {spread:.2f}'


def class_means(
    results: Mapping[int, Result], seeds: Iterable[int]
) -> dict[str, float]:
    """Mean over some seeds of each class that has a score."""
    found = [results[seed].classes for seed in seeds]
    means = {}
    for name in found[0] if found else ():
        values = [scores[name] for scores in found]
        if None not in values:
            means[name] = sum(values) / len(values)
    return means


def class_gains(
    study: Study, results: ResultsFile
) -> dict[str, dict[str, float]]:
    """Gain of each class over the baseline in points, by row title.

    Means are over the baseline's seeds. Rows without one of these seeds, or
    with another metric, are left out.
    """
    baseline = study.rows[study.baselines[0]]
    baseline_results = _own_results(baseline, results)
    base_means = class_means(baseline_results, baseline_results)
    gains = {}
    for row, found in scored_rows(study, results):
        same = [*row.metrics][:1] == [*baseline.metrics][:1]
        if (
            row is not baseline
            and same
            and found.keys() >= baseline_results.keys()
        ):
            means = class_means(found, baseline_results)
            gains[row.title] = {
                name: means[name] - value
                for name, value in base_means.items()
                if name in means
            }
    return gains


def classes_table(study: Study, results: ResultsFile) -> str:
    """The baseline's score of each class, and the gains of other rows."""
    baseline = study.rows[study.baselines[0]]
    found = _own_results(baseline, results)
    base_means = class_means(found, found)
    gains = class_gains(study, results)
    lines = [
        [name, f'{value:.1f}']
        + [f'{gain.get(name, float("nan")):+.1f}' for gain in gains.values()]
        for name, value in base_means.items()
    ]
    return markdown_table(['', baseline.title, *gains], lines)


def costs_table(study: Study, results: ResultsFile) -> str:
    """Training cost of each row, and size of the model to deploy."""
    lines = []
    for row, found in rows_with_results(study, results):
        runs = [*found.values()]
        lines.append(
            [
                row.title,
                f'{runs[0].length:,}' if runs[0].length else '',
                _range(runs, _minutes, '.1f'),
                _range(runs, lambda r: r.peak_mib, ',.0f'),
                f'{runs[0].parameters / 1e6:.2f} M' * row.scored,
                f'{runs[0].flops / 1e9:.2f} G' * row.scored,
            ]
        )
    header = ['', 'length', 'min a run', 'peak MiB', 'parameters', 'FLOPs']
    return markdown_table(header, lines)


def _minutes(result: Result) -> float | None:
    """Training time in minutes; None for a finished model."""
    return result.train_seconds / 60 if result.length else None


def _range(
    runs: Sequence[Result], get: Callable[[Result], float | None], form: str
) -> str:
    values = [value for value in map(get, runs) if value is not None]
    if not values:
        return ''
    texts = f'{min(values):{form}}', f'{max(values):{form}}'
    return '-'.join(dict.fromkeys(texts))


def commands_list(study: Study, results: ResultsFile) -> str:
    """Command of the first run of each row."""
    return '\n\n'.join(
        f'{row.title}:\n\n```shell\n{found[min(found)].command}\n```'
        for row, found in rows_with_results(study, results)
    )


def origin_list(study: Study, results: ResultsFile) -> str:
    """Origin of the results, a line for each kind of machine."""
    made = (found.values() for _, found in rows_with_results(study, results))
    runs: dict[str, int] = {}
    commits: dict[str, set[str]] = {}
    for result in chain.from_iterable(made):
        machine = dict(result.machine)
        parts = [
            f'{machine.pop("cores")} cores of {machine.pop("processor")}',
            machine.pop('gpu', 'no GPU'),
            *(f'{key} {value}' for key, value in machine.items()),
            *(f'{name} {v}' for name, v in result.versions.items()),
        ]
        line = ', '.join(map(str, parts))
        runs[line] = runs.get(line, 0) + 1
        found = (result.commit or 'none').split(', ')  # one per start
        commits.setdefault(line, set()).update(found)
    return '\n'.join(
        f'- {runs[line]} of the runs: {line}, '
        f'commit {", ".join(sorted(found))}'
        for line, found in commits.items()
    )


def rows_with_results(
    study: Study, results: ResultsFile
) -> Iterator[tuple[Row, dict[int, Result]]]:
    """Rows that have results, in the study's order."""
    for row in study.rows.values():
        found = _own_results(row, results)
        if found:
            yield row, found


def scored_rows(
    study: Study, results: ResultsFile
) -> Iterator[tuple[Row, dict[int, Result]]]:
    """Rows with results that are evaluated."""
    for row, found in rows_with_results(study, results):
        if row.scored:
            yield row, found


def _own_results(row: Row, results: ResultsFile) -> dict[int, Result]:
    """Results of a row for the seeds that it lists."""
    return {
        s: r for s, r in results.by_seed(row.name).items() if s in row.seeds
    }


#: Tables by their name in a block of a document.
TABLES: dict[str, Callable[[Study, ResultsFile], str]] = dict(
    scores=scores_table,
    classes=classes_table,
    costs=costs_table,
    commands=commands_list,
    origin=origin_list,
)
