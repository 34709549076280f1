"""What a draft can compare, and the choice of the first that fits."""

from collections.abc import Iterator
from dataclasses import dataclass

from mmengine.config import Config

from mmdistill_dense.compat import own_config
from mmdistill_dense.models.distillers.alignment import pair_levels

from .stock_model import Specs, StockModel, describe_match


@dataclass(frozen=True)
class Draft:
    """Proposal of a method.

    Args:
        terms: The config's ``terms``.
        note: A line for the config about the source of the values.
        reasons: Reasons for and against each option, for the user.
    """

    terms: dict[str, dict]
    note: str
    reasons: list[str]


@dataclass(frozen=True)
class Option:
    """A candidate for the maps that a method compares.

    Args:
        at: Module path or short name, the same in both models.
        term: The term, without ``at``.
        note: Source of its values.
        take: ``'output'`` or ``'input'`` of the module.
        teacher_at: Module path in the teacher; ``None``: ``at``.
    """

    at: str
    term: dict
    note: str
    take: str = 'output'
    teacher_at: str | None = None

    def config(self) -> dict:
        if self.teacher_at is not None:
            at = dict(student=self.at, teacher=self.teacher_at)
            return dict(at=at, **self.term)
        if self.take == 'output':
            return dict(at=self.at, **self.term)
        return dict(at=dict(path=self.at, take=self.take), **self.term)

    def __str__(self) -> str:
        return self.at if self.take == 'output' else f'input of {self.at}'


def first_match(
    name: str,
    options: Iterator[Option | str],
    student: StockModel,
    teacher: StockModel,
) -> Draft:
    """Choose the first option whose maps can be aligned.

    Args:
        name: Name of the term.
        options: Options in order of preference; a string is the reason why
            one is not tried.
        student: The student.
        teacher: The teacher.

    Raises:
        ValueError: If there is none; the message lists the reasons.
    """
    reasons = []
    for option in options:
        if isinstance(option, str):
            reasons.append(option)
            continue
        try:
            student_specs = student.levels(option.at, option.take)
            teacher_specs = teacher.levels(
                option.teacher_at or option.at, option.take
            )
            match = describe_match(student_specs, teacher_specs)
            weights = _level_weights(
                option, student, student_specs, teacher_specs
            )
        except (ValueError, RuntimeError) as error:
            reasons.append(f'not {option}: {error}')
            continue
        reasons.append(f'{option}: {match}. {option.note}')
        term = option.config()
        if not all(weights):
            term['level_weights'] = weights
            reasons.append('Levels of frozen stages get weight 0.')
        return Draft({name: term}, option.note, reasons)
    lines = '\n'.join(f'  {reason}' for reason in reasons)
    raise ValueError(
        f'nothing of {student} ({student.name}) can be aligned with '
        f'{teacher} ({teacher.name}):\n{lines}\nInspect both with '
        'inspect_distiller --list, and write at=dict(student=..., '
        'teacher=...) by hand.'
    )


def _level_weights(
    option: Option,
    student: StockModel,
    student_specs: Specs,
    teacher_specs: Specs,
) -> list[float]:
    """Weights of the levels: 0 if a level has no gradient, otherwise 1."""
    trained = student.trained(option.at, option.take)
    weights = [
        float(trained[i]) for i, _ in pair_levels(student_specs, teacher_specs)
    ]
    if not any(weights):
        raise ValueError('all of it is frozen in the student.')
    return weights


def preset_terms(preset: str) -> dict[str, dict]:
    """Terms of a file in ``configs/_base_/terms``, by its name."""
    path = own_config(f'_base_/terms/{preset}.py')
    return Config.fromfile(path).to_dict()['terms']


def preset_option(
    preset: str,
    at: str | None,
    origin: str,
    take: str = 'output',
    term: str | None = None,
) -> Option:
    """A term of a preset, on another module.

    Args:
        preset: Name of a file in ``configs/_base_/terms``.
        at: Module path or short name, the same in both models; ``None``:
            that of the preset.
        origin: Source of tau and weight, which begin the note.
        take: ``'output'`` or ``'input'`` of the module.
        term: Name of the term; ``None``: the preset has one only.
    """
    terms = preset_terms(preset)
    (found,) = terms.values() if term is None else [terms[term]]
    own_at = found.pop('at')
    found.pop('level_weights', None)  # for as many levels as the preset's
    loss = found['loss']
    values = dict(tau=loss.get('tau'), weight=loss['loss_weight'])
    named = [f'{k} {v:g}' for k, v in values.items() if v is not None]
    note = f'{" and ".join(named)} {origin}'
    return Option(at or own_at, found, note, take)
