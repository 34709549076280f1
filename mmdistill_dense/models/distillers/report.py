"""Log messages about the distillation of a run."""

import os.path as osp

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger, print_log
from torch import nn

from ..teachers.stock import StockTeacher
from .step import DistillationLike
from .term import Term


def describe_terms(distill: DistillationLike) -> str:
    """One block of lines per term: modules, levels, connectors, loss.

    Args:
        distill: A ``Distillation``.
    """
    lines = ['Distillation:']
    for name, term in distill.terms.items():
        owner = distill.teacher_of[name]
        teacher_source = distill.teachers[owner].recorded[name]
        label = 'teacher' if owner == 'teacher' else f'teacher {owner!r}'
        student_source = distill.recorders[name]
        lines.append(
            f'  {name}: student {student_source} <- {label} {teacher_source}'
        )
        for pair_index, (i, j) in enumerate(term.pairs):
            bridge = _through(term.connectors[pair_index])
            others = _through(term.teacher_connectors[pair_index])
            if others:
                bridge += f', the teacher{others}'
            lines.append(
                f'    {term.student_specs[i]} <- {term.teacher_specs[j]}'
                f'{bridge}, weight {term.level_weights[pair_index]:g}'
            )
        lines += [
            f'    left out: {side} {specs[k]}'
            for side, k, specs in unpaired_levels(term)
        ]
        lines += [f'    {line}' for line in describe_extras(distill, name)]
        if term.classes.given:
            lines.append(f'    classes {term.classes}')
        when = '' if term.schedule.constant else f', {term.schedule}'
        share = '' if term.share is None else f', {term.share}'
        lines.append(f'    {term.loss}{share}{when}')
    lines += [f'  {line}' for line in describe_input_forms(distill)]
    return '\n'.join(lines)


def describe_extras(distill: DistillationLike, term_name: str) -> list[str]:
    """Lines on the extras of a term, and what its maps run through."""
    teacher = distill.teachers[distill.teacher_of[term_name]]
    lines = []
    for one in distill.recordings.of_term(term_name):
        sources = dict(teacher=teacher.recorded.get(one.key, ''))
        if 'student' in one.cfgs:
            sources['student'] = str(distill.recorders[one.key])
        if one.extra:
            parts = ', '.join(f'{s} {sources[s]}' for s in one.cfgs)
            lines.append(f'extra {one.extra!r}: {parts}')
    through = distill.recordings.through.get(term_name)
    if through:
        lines.append(f'student runs on through: {", ".join(through)}')
    return lines


def _through(connector: nn.Module) -> str:
    if isinstance(connector, nn.Identity):
        return ''
    return f' through {type(connector).__name__}'


def describe_input_forms(distill: DistillationLike) -> list[str]:
    """Lines on teachers whose input form differs from the student's."""
    lines = []
    for name, teacher in distill.teachers.items():
        adapter, resizing = teacher.input_adapter, str(teacher.resizing)
        parts = [resizing] if resizing else []
        if adapter is not None and not adapter.identical:
            parts.insert(0, str(adapter.teacher))
        if parts:
            lines.append(
                f'{name} sees images in its own form: {", ".join(parts)}'
            )
    return lines


def unpaired_levels(term: Term) -> list[tuple]:
    """Levels without a pair: side, index, all levels of that side."""
    sides = (('student', term.student_specs), ('teacher', term.teacher_specs))
    return [
        (side, k, specs)
        for position, (side, specs) in enumerate(sides)
        for k in range(len(specs))
        if k not in {pair[position] for pair in term.pairs}
    ]


def log_teacher(teacher: StockTeacher) -> None:
    """Log that a teacher is loaded, and save its config."""
    name = teacher.name
    stem = 'teacher' if name == 'teacher' else f'teacher_{name}'
    dump_config(f'{stem}.py', teacher.config)
    log_checkpoint(teacher)
    switches = getattr(teacher, 'switches', None)
    if str(switches or ''):
        print_log(
            f'Teacher {name!r} runs with {switches}; on a noise image its '
            f'features differ by {teacher.drift:.1e} of their largest value.',
            logger='current',
        )


def log_checkpoint(teacher: nn.Module) -> None:
    """Log the checkpoint of a teacher."""
    print_log(
        f'Teacher {teacher.name!r} is loaded from {teacher.checkpoint}; it is '
        'frozen and in no checkpoint.',
        logger='current',
    )


def dump_config(name: str, config: Config) -> None:
    """Save a config next to the log file of the run, if there is one."""
    log = getattr(MMLogger.get_current_instance(), 'log_file', None)
    if log and is_main_process():
        config.dump(osp.join(osp.dirname(log), name))
