"""Conclusions of the demo, as sentences."""

from collections.abc import Mapping

from .comparisons import ROLES, Comparison


def skipped(title: str, method: str) -> str:
    """Reason why a model is skipped for a method."""
    return (
        f'{title} has no part in METHOD={method}: here its student '
        'starts from a backbone trained with labels, and one pre-trained '
        'without them is no fair match for it.'
    )


def gain(comparison: Comparison, scores: Mapping[str, float]) -> str:
    """Gain or loss through distillation, as a sentence."""
    teacher, student, distilled = (scores[role] for role in ROLES)
    points = round(distilled - student, 1)
    word = 'above' if points >= 0 else 'BELOW'
    text = (
        f'{comparison.title_of("distilled")}: {abs(points):.1f} points '
        f'{comparison.label} {word} the student'
    )
    gap = teacher - student
    if points > 0 and gap > 0:
        text += f', {100 * points / gap:.0f} % of the way to the teacher'
    return f'{text}.'


def teacher_problem(
    comparison: Comparison, scores: Mapping[str, float]
) -> str | None:
    """Message if the teacher is not better than its student, or None."""
    teacher, student = (scores[role] for role in ROLES[:2])
    if teacher > student:
        return None
    return (
        f'the {comparison.title_of("teacher")} is not above its student: '
        f'expected {comparison.label} above {student:.1f}, got '
        f'{teacher:.1f}. Train longer (--length 2, with another --work-dir) '
        'or try another --seed; the curves in figures/ show how the runs went.'
    )
