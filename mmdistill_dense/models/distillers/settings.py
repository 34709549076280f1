"""Reading what a config says of terms and teachers."""

from collections.abc import Mapping

from torch import nn

from ..teachers import FrozenTeacher


def split_taps(name: str, term: Mapping) -> tuple[dict, dict]:
    """What a term records on the student and on the teacher.

    Raises:
        ValueError: If ``at`` is none of the forms it can have.
    """
    at = term.get('at')
    if isinstance(at, dict) and set(at) == {'student', 'teacher'}:
        return as_tap(name, at['student']), as_tap(name, at['teacher'])
    return as_tap(name, at), as_tap(name, at)


def as_tap(name: str, at: object) -> dict:
    """A path, or ``dict(path=..., take=..., clone=...)``, as the latter."""
    if isinstance(at, str) and at:
        return dict(path=at)
    known = {'path', 'take', 'clone'}
    if isinstance(at, dict) and 'path' in at and set(at) <= known:
        return dict(at)
    raise ValueError(
        f"term {name!r}: at must be a module path, 'logits', dict(path=..., "
        "take='input', clone=True), or dict(student=..., teacher=...) of "
        f'these, got {at!r}.'
    )


def choose_teacher(name: str, term: Mapping, teachers: Mapping) -> str:
    """Name of the teacher that a term learns from.

    Raises:
        ValueError: If there is none, or several and none is named.
    """
    chosen = term.get('teacher')
    if chosen is None and len(teachers) == 1:
        return next(iter(teachers))
    if chosen not in teachers:
        raise ValueError(
            f'term {name!r}: teacher={chosen!r} is none of the teachers '
            f'{sorted(teachers)}. With several, each term names its own.'
        )
    return chosen


def check_used(teachers: Mapping, teacher_of: Mapping[str, str]) -> None:
    """Check that every teacher has a term, unless there are none at all.

    Raises:
        ValueError: If one teaches nothing.
    """
    idle = sorted(set(teachers) - set(teacher_of.values()))
    if teacher_of and idle:
        raise ValueError(
            f'teacher: {idle} has no term that names it, so it would teach '
            'nothing. Remove it, or give a term teacher=<name>.'
        )


def make_teacher(name: str, cfg: Mapping) -> FrozenTeacher:
    """Build a teacher, whose config may have other keys than it takes.

    Raises:
        ValueError: If a key is not known, or ``cfg`` is missing.
    """
    if not name.isidentifier() or hasattr(nn.ModuleDict, name):
        raise ValueError(
            f'teacher: {name!r} is no name for a teacher: expected letters, '
            'digits and underscores, and none that torch keeps for itself.'
        )
    known = {'cfg', 'checkpoint', 'cfg_options', 'allow'}
    if 'cfg' not in cfg or not set(cfg) <= known:
        raise ValueError(
            f'teacher {name!r}: expected dict(cfg=...) with {sorted(known)}, '
            f'got the keys {sorted(cfg)}.'
        )
    return FrozenTeacher(name, **cfg)
