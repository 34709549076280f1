"""Building of a term from the results of the dry runs."""

from collections.abc import Mapping

from torch import nn

from ..hosts import DryRunResult
from . import guards
from .guards import prefix_errors
from .loss_inputs import blank_inputs
from .term import Term


def build_term(
    name: str,
    cfg: Mapping,
    student: nn.Module,
    student_run: DryRunResult,
    teacher_run: DryRunResult,
    size: tuple[int, int],
) -> Term:
    """Build a term and run it on the maps of the dry runs.

    Args:
        name: Its name.
        cfg: Its config.
        student: The stock model.
        student_run: Dry run of the student.
        teacher_run: Dry run of the term's teacher.
        size: Height and width of their image, in pixels.

    Raises:
        ValueError: If a setting or a shape does not fit.
    """
    student_maps = student_run.features[name]
    guards.check_per_image(name, 'student', student_maps)
    guards.check_per_image(name, 'teacher', teacher_run.features[name])
    settings = {k: v for k, v in cfg.items() if k not in ('at', 'teacher')}
    with prefix_errors(name):
        if 'loss' not in settings:
            raise ValueError("no 'loss' is given.")
        term = Term(
            name,
            student=student_run.specs[name],
            teacher=teacher_run.specs[name],
            **settings,
        )
        # A model that the caller built may be on a GPU, or in float64.
        like = student_maps[0]
        teacher_maps = [x.to(like) for x in teacher_run.features[name]]
        specs = [term.compared_spec(k) for k in range(len(term.pairs))]
        inputs = blank_inputs(student, size, term.keywords, like, specs)
        term.to(like).eval().try_maps(student_maps, teacher_maps, inputs)
    return term.train()
