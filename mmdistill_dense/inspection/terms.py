"""One table per term: levels, connectors, loss and schedule."""

from collections.abc import Iterator

from rich.console import RenderableType
from torch import nn

from mmdistill_dense.models.distillers.distillation import Distillation
from mmdistill_dense.models.distillers.report import (
    describe_extras,
    describe_input_forms,
    unpaired_levels,
)
from mmdistill_dense.models.distillers.term import Term
from mmdistill_dense.models.hosts import FeatureSpec

from .complexity import parameter_count
from .printing import format_count, format_size, table

_COLUMNS = (
    *('student', 'shape', 'stride>', 'teacher', 'shape', 'stride>'),
    *('connector', 'parameters>', 'weight>'),
)


def term_tables(
    distill: Distillation, size: tuple[int, int]
) -> list[RenderableType]:
    """Tables of the levels, connectors, loss and schedule of every term.

    Args:
        distill: The ``distill`` attribute of a distilled model.
        size: Height and width of its dry run's image, in pixels.
    """
    note = f'\nshapes   for an image of {format_size(size)} pixels'
    tables = [
        table(_title(distill, term) + note, _COLUMNS, _rows(distill, term))
        for term in distill.terms.values()
    ]
    inherited = [f'Inherited: {one}.' for one in distill.inheritances]
    if not tables:
        tables = ['No terms: the model trains exactly as the stock one does.']
    return [*tables, *inherited, *describe_input_forms(distill)]


def _title(distill: Distillation, term: Term) -> str:
    owner = distill.teacher_of[term.name]
    schedule = 'always' if term.schedule.constant else str(term.schedule)
    classes = f'\nclasses  {term.classes}' if term.classes.given else ''
    share = '' if term.share is None else f'share    {term.share}\n'
    extras = ''.join(f'\n{x}' for x in describe_extras(distill, term.name))
    return (
        f'Term {term.name!r}, logged as loss_{term.name}\n'
        f'loss     {term.loss}{_trained(term.loss)}\n{share}'
        f'schedule {schedule}\n'
        f'teacher  {owner!r}{classes}{extras}'
    )


def _trained(loss: nn.Module) -> str:
    count = parameter_count(loss)
    return f', {format_count(count)} parameters' if count else ''


def _rows(distill: Distillation, term: Term) -> Iterator[tuple]:
    teacher = distill.teachers[distill.teacher_of[term.name]]
    sides = dict(
        student=_cells(str(distill.recorders[term.name]), term.student_specs),
        teacher=_cells(teacher.recorded[term.name], term.teacher_specs),
    )
    for level, (i, j) in enumerate(term.pairs):
        connector = term.connectors[level]
        count = parameter_count(connector)
        yield (
            *sides['student'][i],
            *sides['teacher'][j],
            _connection(term, level),
            format_count(count) if count else '-',
            f'{term.level_weights[level]:g}',
        )
    for side, k, _ in unpaired_levels(term):
        cells = dict(student=('-', '', ''), teacher=('-', '', ''))
        cells[side] = sides[side][k]
        yield (*cells['student'], *cells['teacher'], 'left out', '', '')


def _cells(recorded: str, specs: list[FeatureSpec]) -> list[tuple]:
    """Module, shape and stride of each level of one side."""
    paths = recorded.split(', ')
    if len(paths) != len(specs):  # a module with several outputs
        paths = [f'{recorded} [{k}]' for k in range(len(specs))]
    return [
        (path, format_size(spec.shape[1:]), stride(spec))
        for path, spec in zip(paths, specs, strict=True)
    ]


def stride(spec: FeatureSpec) -> str:
    """Pixels per cell, one number where both directions agree."""
    if spec.stride is None:
        return '-'
    return 'x'.join(f'{s:.4g}' for s in dict.fromkeys(spec.stride))


def _connection(term: Term, pair_index: int) -> str:
    """Connector of a student level, and resizing of the grids."""
    i, j = term.pairs[pair_index]
    student_spec, teacher_spec = term.student_specs[i], term.teacher_specs[j]
    connector = term.connectors[pair_index]
    parts = []
    if not isinstance(connector, nn.Identity):
        kind = type(connector).__name__
        fitted = term.fitted_specs[pair_index].channels
        parts.append(f'{kind} {student_spec.channels} -> {fitted}')
    others = term.teacher_connectors[pair_index]
    if not isinstance(others, nn.Identity):
        parts.append(f'teacher: {type(others).__name__}')
    if student_spec.stride != teacher_spec.stride:
        grid = dict(student=student_spec, teacher=teacher_spec)[term.grid]
        parts.append(f'resized to stride {stride(grid)}')
    return ', '.join(parts) or 'none'
