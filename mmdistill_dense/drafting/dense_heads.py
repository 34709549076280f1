"""Terms of methods for two dense heads of one kind: LD and CrossKD."""

from collections.abc import Mapping

from .options import Draft, preset_terms
from .stock_model import StockModel, describe_match

#: Layer by which a dense head is known, and the name of its kind.
_KINDS = dict(gfl_reg='GFL', retina_reg='RetinaNet')


def draft_heads(
    method: str,
    presets: Mapping[str, str],
    student: StockModel,
    teacher: StockModel,
) -> Draft:
    """Draft of a method between two dense heads.

    Args:
        method: Its name, for messages.
        presets: Name of a file in ``configs/_base_/terms`` by kind of head.
        student: The student.
        teacher: The teacher.

    Raises:
        ValueError: If the heads are not of one kind that the method has.
    """
    kinds = {_kind(student), _kind(teacher)}
    kind = kinds.pop()
    if kinds or kind not in presets:
        raise ValueError(
            f'{method} does not fit {student} ({student.name}) and {teacher} '
            f'({teacher.name}): it needs the same dense head on both sides, '
            f'of {" or ".join(presets)}. Any two models have --method cwd.'
        )
    terms = preset_terms(presets[kind])
    match = describe_match(student.levels('logits'), teacher.levels('logits'))
    note = f"The values are {method}'s for {kind} on COCO."
    return Draft(terms, note, [f'head: {match}. {note}'])


def _kind(model: StockModel) -> str:
    head = getattr(model.model, 'bbox_head', None)
    found = [kind for layer, kind in _KINDS.items() if hasattr(head, layer)]
    return found[0] if found else ''
