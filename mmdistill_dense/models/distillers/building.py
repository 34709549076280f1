"""Building of a term from the results of the dry runs."""

from collections.abc import Mapping, Sequence

from torch import nn

from ..hosts import DryRunResult, FeatureSpec
from . import guards
from .extras import check_extras
from .guards import prefix_errors
from .loss_inputs import blank_inputs
from .recordings import Recording
from .term import Term

#: Settings of a term that its recordings are made from.
_NOT_OF_TERM = ('at', 'teacher', 'extras', 'through')


def build_term(
    name: str,
    cfg: Mapping,
    recordings: Sequence[Recording],
    student: nn.Module,
    student_run: DryRunResult,
    teacher_run: DryRunResult,
    size: tuple[int, int],
    through: list[FeatureSpec] | None = None,
) -> Term:
    """Build a term and run it on the maps of the dry runs.

    Args:
        name: Its name.
        cfg: Its config.
        recordings: What it records.
        student: The stock model.
        student_run: Dry run of the student.
        teacher_run: Dry run of the term's teacher.
        size: Height and width of their image, in pixels.
        through: Levels of what the modules of ``through`` take.

    Raises:
        ValueError: If a setting or a shape does not fit.
    """
    runs = dict(student=student_run, teacher=teacher_run)
    for one in recordings:
        for side in one.cfgs:
            guards.check_per_image(name, side, runs[side].features[one.key])
    student_maps = student_run.features[name]
    settings = {k: v for k, v in cfg.items() if k not in _NOT_OF_TERM}
    with prefix_errors(name):
        if 'loss' not in settings:
            raise ValueError("no 'loss' is given.")
        term = Term(
            name,
            student=student_run.specs[name],
            teacher=teacher_run.specs[name],
            through=through,
            **settings,
        )
        if term.share is not None and 'loss' in name:
            raise ValueError(
                f'share: weight_{name} would be logged, which MMEngine sums '
                'with the losses, as it contains "loss". Choose another '
                'name.'
            )
        extras = [one for one in recordings if one.extra]
        _check_extras(term, extras, runs)
        # A model that the caller built may be on a GPU, or in float64.
        like = student_maps[0]
        teacher_maps = [x.to(like) for x in teacher_run.features[name]]
        specs = [term.compared_spec(k) for k in range(len(term.pairs))]
        inputs = blank_inputs(student, size, term.keywords, like, specs)
        inputs.extras = {
            one.extra: {
                side: [x.to(like) for x in runs[side].features[one.key]]
                for side in one.cfgs
            }
            for one in extras
        }
        if through:
            # The modules have no weights yet.
            inputs.through = lambda level, x: like.new_zeros(
                teacher_maps[level].shape
            )
        term.to(like).eval().try_maps(student_maps, teacher_maps, inputs)
    return term.train()


def _check_extras(
    term: Term, extras: Sequence[Recording], runs: Mapping[str, DryRunResult]
) -> None:
    check_extras(
        {
            one.extra: {side: runs[side].specs[one.key] for side in one.cfgs}
            for one in extras
        },
        'extras' in {*term.keywords, *term.connector_keywords},
        dict(student=len(term.student_specs), teacher=len(term.teacher_specs)),
        [
            (pair, term.compared_spec(index))
            for index, pair in enumerate(term.pairs)
            if term.level_weights[index]
        ],
    )
