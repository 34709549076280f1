"""Parsing of the settings of terms and teachers."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from torch import nn

from mmdistill_dense.registry import MODELS

from ..teachers.stock import StockTeacher

Kind = TypeVar('Kind', bound=StockTeacher)


def split_record_cfgs(name: str, term: Mapping) -> tuple[dict, dict]:
    """Recording settings of a term for the student and the teacher.

    Raises:
        ValueError: If ``at`` has none of the valid forms.
    """
    at = term.get('at')
    form = (
        f"term {name!r}: at must be a module path, 'logits', dict(path=..., "
        "take='input', clone=True), or dict(student=..., teacher=...) of these"
    )
    if isinstance(at, dict) and set(at) == {'student', 'teacher'}:
        student, teacher = at['student'], at['teacher']
        return record_cfg(student, form), record_cfg(teacher, form)
    return record_cfg(at, form), record_cfg(at, form)


def token_record_cfg(at: object) -> dict:
    """Recording settings of a learner's ``at``.

    Raises:
        ValueError: If ``at`` has none of the valid forms.
    """
    form = (
        "MaskTokenLearner: at must be a module path, 'logits', or "
        "dict(path=..., take='input')"
    )
    return record_cfg(at, form)


def record_cfg(at: object, form: str) -> dict:
    """Turn a path into ``dict(path=...)``; pass a dict of settings.

    Args:
        at: The setting.
        form: What it must be, for messages.

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(at, str) and at:
        return dict(path=at)
    known = {'path', 'take', 'clone'}
    if isinstance(at, dict) and 'path' in at and set(at) <= known:
        return dict(at)
    raise ValueError(f'{form}, got {at!r}.')


def check_none(config_path: str, **settings: object) -> None:
    """Check that settings of the stock model's config are ``None`` here.

    Args:
        config_path: Path of that config, for messages.
        **settings: Settings that must be ``None``.

    Raises:
        ValueError: If one is not.
    """
    for name, value in settings.items():
        if value is not None:
            raise ValueError(
                f'model.{name} is no setting of a distiller: write it as '
                f'{config_path}.{name}, got {value!r}.'
            )


def split_teachers(teacher: Any) -> dict[str, Any]:
    """Settings of the teachers by name; one alone is called ``'teacher'``.

    Raises:
        ValueError: If they are no dict.
    """
    if not isinstance(teacher or {}, Mapping):
        raise ValueError(
            'teacher must be dict(cfg=..., checkpoint=...), or several of '
            f'these by name, got {teacher!r}.'
        )
    teachers = dict(teacher or {})
    a_model = not isinstance(teachers.get('type', {}), Mapping)
    if a_model or 'cfg' in teachers or 'checkpoint' in teachers:
        teachers = dict(teacher=teachers)
    return teachers


def choose_teacher(name: str, term: Mapping, teachers: Mapping) -> str:
    """Name of the teacher that a term learns from.

    Raises:
        ValueError: If there is no such teacher, or several and no name.
    """
    chosen: Any = term.get('teacher')
    if chosen is None and len(teachers) == 1:
        return next(iter(teachers))
    if chosen not in teachers:
        raise ValueError(
            f'term {name!r}: teacher={chosen!r} is none of the teachers '
            f'{sorted(teachers)}. With several, each term names its own.'
        )
    return chosen


def split_inherit(
    inherit: str | Sequence[str] | Mapping | None, teachers: Mapping
) -> dict[str, list[str]]:
    """Module paths that the student inherits, by name of the teacher.

    Raises:
        ValueError: If the setting has none of the valid forms, or the teacher
            is not clear.
    """
    if not inherit:
        return {}
    cfg = inherit if isinstance(inherit, Mapping) else dict(modules=inherit)
    modules: Any = cfg.get('modules')
    chosen: Any = cfg.get('teacher')
    modules = [modules] if isinstance(modules, str) else modules
    if (
        not set(cfg) <= {'modules', 'teacher'}
        or not (isinstance(modules, (list, tuple)) and modules)
        or not all(isinstance(path, str) and path for path in modules)
    ):
        raise ValueError(
            "inherit must be a list of module paths, ['neck', 'bbox_head'], "
            "or dict(modules=[...], teacher='name'), got "
            f'{inherit!r}.'
        )
    if chosen is None and len(teachers) == 1:
        (chosen,) = teachers
    if chosen not in teachers:
        raise ValueError(
            f'inherit: teacher={chosen!r} is none of the teachers '
            f'{sorted(teachers)}. With several, name one: inherit=dict('
            "modules=[...], teacher='name')."
        )
    return {chosen: list(modules)}


def check_used(teachers: Mapping, used: Collection[str]) -> None:
    """Check that every teacher is used, unless none is.

    Args:
        teachers: Teachers by name.
        used: Names of teachers of a term or of inherited modules.

    Raises:
        ValueError: If one is not used.
    """
    idle = sorted(set(teachers) - set(used))
    if used and idle:
        raise ValueError(
            f'teacher: {idle} has no term that names it, so it would teach '
            'nothing. Remove it, or give a term teacher=<name>.'
        )


def make_teacher(name: str, cfg: object, kind: type[Kind]) -> Kind:
    """Check the settings of a teacher, and create it.

    Args:
        name: Its name in the config.
        cfg: Its settings; ``type`` names a registered teacher.
        kind: Class of a teacher without ``type``, and base of all others.

    Raises:
        ValueError: If a setting is not known or missing, or ``type`` is no
            teacher of this kind.
    """
    if not name.isidentifier() or hasattr(nn.ModuleDict, name):
        raise ValueError(
            f'teacher: {name!r} is no name for a teacher: expected letters, '
            'digits and underscores, and no attribute of torch modules.'
        )
    if isinstance(cfg, Mapping) and 'type' in cfg:
        cfg = dict(cfg)
        kind = _registered_teacher(name, cfg.pop('type'), kind)
    form = f'expected dict({kind.required}=...) with {sorted(kind.settings)}'
    if not isinstance(cfg, Mapping):
        raise ValueError(
            f'teacher {name!r}: {form}, got {type(cfg).__name__}.'
        )
    if kind.required not in cfg or not set(cfg) <= kind.settings:
        raise ValueError(
            f'teacher {name!r}: {form}, got the keys {sorted(cfg)}.'
        )
    return kind(name, **cfg)


def _registered_teacher(name: str, kind: object, base: type[Kind]) -> Any:
    found = MODELS.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ValueError(
            f'teacher {name!r}: type={kind!r} is no registered '
            f'{base.__name__}. Of a stock model write dict(cfg=dict(type=...),'
            ' checkpoint=...); a network of any package is type='
            "'mmdistill_dense.EncoderTeacher'."
        )
    return found
