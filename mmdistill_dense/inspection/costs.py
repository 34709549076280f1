"""Cost of a distillation, and the parts that its teachers skip."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil

import torch
from rich.console import RenderableType
from torch import Tensor, nn

from mmdistill_dense.models.distillers.term import Term
from mmdistill_dense.models.hosts import (
    FeatureSpec,
    inference_route,
    routes_of,
    run_route,
)
from mmdistill_dense.models.hosts.routes import (
    ROI_ROUTES,
    TRAINING_ONLY,
)
from mmdistill_dense.models.teachers import FrozenTeacher
from mmdistill_dense.models.teachers.through import run_chain

from .complexity import Complexity, complexity, parameter_count
from .printing import format_count, format_size, table

Size = tuple[int, int]


@dataclass(frozen=True)
class Passes:
    """Cost of the forward passes of a stock model.

    Args:
        full: The longest pass, with the auxiliary heads.
        inference: FLOPs of a prediction, without auxiliary heads.
        shortened: The pass of a teacher; ``None`` for a student.
        through: FLOPs of a teacher's modules that the student's maps run
            through, in one forward pass.
    """

    full: Complexity
    inference: int
    shortened: Complexity | None = None
    through: int = 0


def cost_tables(model: nn.Module, size: Size) -> list[RenderableType]:
    """Tables of the modules that each teacher runs, and of all costs.

    Args:
        model: A distilled model.
        size: Height and width of the image, in pixels.
    """
    parts: list[RenderableType] = []
    teachers: dict[str, Passes] = {}
    for name, teacher in model.distill.teachers.items():
        stock, run = teacher.build_model_and_run()
        teachers[name] = replace(
            _passes(stock, size),
            shortened=complexity(stock, run, size),
            through=_through(model, teacher, stock, size),
        )
        parts += _teacher_table(teacher, stock, teachers[name])
    return [*parts, *_cost_table(model, teachers, size)]


def _passes(model: nn.Module, size: Size) -> Passes:
    route = routes_of(model)[-1]
    full = complexity(model, partial(run_route, route, model), size)
    inference = full.flops
    if route != inference_route(model):
        inference -= sum(full.parts.get(x, 0) for x in TRAINING_ONLY)
    return Passes(full, inference)


def _teacher_table(
    teacher: FrozenTeacher, stock: nn.Module, passes: Passes
) -> list[RenderableType]:
    """Table of the top-level modules that a teacher runs."""
    saved = passes.inference - passes.shortened.flops
    share = saved / max(passes.inference, 1)
    title = (
        f'Teacher {teacher.name!r}, {type(stock).__name__}: runs as far as '
        f'the last module recorded (route {teacher.route!r})'
    )
    columns = ('module', 'class', 'parameters>', 'runs', 'FLOPs>', 'whole>')
    roi_note = [
        'Its box head is counted with one RoI an image; in training it '
        'runs on those that the student samples.'
    ]
    return [
        table(title, columns, _module_rows(stock, passes)),
        *(roi_note if teacher.route in ROI_ROUTES else []),
        f'Stopping there saves {format_count(saved)} of '
        f'{format_count(passes.inference)} FLOPs an image ({share:.0%}), '
        'and every task loss.\n',
    ]


def _module_rows(stock: nn.Module, passes: Passes) -> Iterator[tuple]:
    shortened, full = passes.shortened, passes.full
    for name, module in stock.named_children():
        count = parameter_count(module)
        if not count and not full.calls.get(name):
            continue  # losses, the data preprocessor
        yield (
            name,
            type(module).__name__,
            format_count(count),
            _extent(shortened.calls.get(name, 0), full.calls.get(name, 0)),
            format_count(shortened.parts.get(name, 0)),
            format_count(full.parts.get(name, 0)),
        )


def _extent(calls: int, whole: int) -> str:
    if not calls:
        return 'not at all'
    return 'in full' if calls >= whole else f'in part, {calls / whole:.0%}'


def _cost_table(
    model: nn.Module, teachers: dict[str, Passes], size: Size
) -> list[RenderableType]:
    student = _passes(model, size)
    added, flops = _connectors(model, size)
    rows = [
        _row('student', student.full.parameters, student.inference, 'yes'),
        _row('connectors and losses', added, flops, 'yes, not in an export'),
    ]
    for name, passes in teachers.items():
        parameters = passes.full.parameters
        rows += [
            _row(
                f'{name}, as it runs', parameters, passes.shortened.flops, 'no'
            ),
            _row(f'{name}, if run whole', parameters, passes.inference, 'no'),
        ]
        if passes.through:
            part = f"{name}, on the student's maps"
            rows.append(_row(part, 0, passes.through, 'no'))
    columns = ('part', 'parameters>', 'FLOPs>', 'in checkpoints')
    extra = 3 * flops + sum(
        passes.shortened.flops + 2 * passes.through
        for passes in teachers.values()
    )
    return [
        table(f'Cost of one {format_size(size)} image', columns, rows),
        _notes(model, student.full.flops, extra),
    ]


def _row(part: str, parameters: int, flops: int, saved: str) -> tuple:
    return part, format_count(parameters), format_count(flops), saved


def _connectors(model: nn.Module, size: Size) -> tuple[int, int]:
    """Parameters of all terms, and FLOPs of one pass through them."""
    counted = [
        complexity(term, partial(_run_connectors, term, size), size)
        for term in model.distill.terms.values()
        if parameter_count(term)
    ]
    return sum(c.parameters for c in counted), sum(c.flops for c in counted)


def _run_connectors(term: Term, size: Size, image: Tensor, _: list) -> None:
    for connector, (level, _) in zip(term.connectors, term.pairs, strict=True):
        shape = _shape_at(term.student_specs[level], size)
        connector(image.new_zeros(shape))


def _through(
    model: nn.Module, teacher: FrozenTeacher, stock: nn.Module, size: Size
) -> int:
    """FLOPs of the student's maps through modules of a teacher."""
    return sum(
        complexity(
            stock,
            partial(
                _run_through, model.distill.terms[name], chains, stock, size
            ),
            size,
        ).flops
        for name, chains in teacher.chains.items()
    )


def _run_through(
    term: Term,
    chains: Sequence[Sequence[str]],
    stock: nn.Module,
    size: Size,
    image: Tensor,
    _: list,
) -> None:
    for (i, j), fitted in zip(term.pairs, term.fitted_specs, strict=True):
        batch, _, *grid = _shape_at(term.student_specs[i], size)
        modules = [stock.get_submodule(path) for path in chains[j]]
        run_chain(modules, image.new_zeros(batch, fitted.channels, *grid))


def _shape_at(spec: FeatureSpec, size: Size) -> tuple[int, ...]:
    """Shape of a level for images of another size than the dry run's."""
    if spec.stride is None:
        return spec.shape
    grid = (ceil(s / d) for s, d in zip(size, spec.stride, strict=True))
    return (*spec.shape[:2], *grid)


def _notes(model: nn.Module, student: int, extra: int) -> str:
    state = model.state_dict().values()
    size = torch.tensor([t.numel() * t.element_size() for t in state]).sum()
    share = extra / max(3 * student, 1)
    return (
        'Counted are matrix products, convolutions and attention, 2 for a '
        'multiply-add; a RoI head runs on the RoIs of a blank image.\n'
        f'The state dict of a checkpoint is {size / 2**20:.1f} MB. The '
        'whole teacher stays in memory, without gradients.\n'
        f'A training step costs about {share:.0%} more FLOPs than without: '
        'the student and the connectors count as three forward passes, for '
        "forward and backward, a teacher as one, its modules on the student's "
        'maps as two; those of losses are not counted.'
    )
