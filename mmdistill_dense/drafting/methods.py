"""Methods for a draft: each chooses the terms between two models.

A method takes both models and returns the terms, with the reasons for them.
To add one, add a function here and an entry in :data:`METHODS`; its values
are those of a preset in ``configs/_base_/terms``.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

from .encoders import EncoderModel, nearest_stage
from .options import Draft, Option, first_match, preset_option
from .stock_model import StockModel


def cwd(student: StockModel, teacher: StockModel) -> Draft:
    """Channel-wise distillation of logits, otherwise of features."""
    options = _cwd_options(student, teacher)
    return first_match('cwd', options, student, teacher)


def _cwd_options(
    student: StockModel, teacher: StockModel
) -> Iterator[Option | str]:
    if isinstance(teacher, EncoderModel):
        yield _encoder_option(student, teacher)
        return
    if student.is_segmentor and teacher.is_segmentor:
        origin = "are the paper's for logits."
        yield _logits_option(student, teacher, 'cwd_paper-logits', origin)
        yield preset_option(
            'cwd_paper-features',
            'logits',
            'are known from a port only, see docs/losses.md; the '
            "authors' logs have 35 to 40.",
            take='input',
        )
    elif student.is_segmentor != teacher.is_segmentor:
        yield 'not logits: one is a segmentor, the other a detector.'
    if hasattr(student.model, 'neck') and hasattr(teacher.model, 'neck'):
        yield _pyramid_option('neck')
    else:
        yield 'not neck: one or both have none.'
    yield _pyramid_option('backbone')


def _pyramid_option(at: str) -> Option:
    origin = "per level, as MMRazor's for detectors."
    return preset_option('cwd_openmmlab-det', at, origin)


def _encoder_option(
    student: StockModel, teacher: EncoderModel
) -> Option | str:
    """Option for the student's stage of the stride of an encoder's map."""
    stage = nearest_stage(student, teacher.levels(teacher.path))
    if stage is None:
        return 'not backbone: no child of it puts out one map.'
    origin = "are MMRazor's for detectors: tune the weight."
    option = preset_option('cwd_openmmlab-det', stage, origin)
    return replace(option, teacher_at=teacher.path)


def pixel_wise(student: StockModel, teacher: StockModel) -> Draft:
    """Pixel-wise KL divergence, only between logits of the same classes."""
    option: Option | str = 'not logits: both models must be segmentors.'
    if student.is_segmentor and teacher.is_segmentor:
        origin = "are CIRKD's for a mean over pixels."
        option = _logits_option(student, teacher, 'pixel-wise_logits', origin)
    return first_match('pixel_wise', iter([option]), student, teacher)


def _logits_option(
    student: StockModel, teacher: StockModel, preset: str, origin: str
) -> Option | str:
    """Option for logits, if both models have equally many classes."""
    try:
        student_classes, teacher_classes = (
            model.levels('logits')[-1].channels for model in (student, teacher)
        )
    except (ValueError, RuntimeError) as error:
        return f'not logits: {error}'
    if student_classes != teacher_classes:
        return (
            f'not logits: the student has {student_classes} classes, the '
            f'teacher {teacher_classes}.'
        )
    data = {m.config.get('dataset_type') for m in (student, teacher)}
    if len(data) > 1:
        origin += ' The data sets differ: the classes must be the same.'
    return preset_option(preset, 'logits', origin)


#: By name, as in ``--method``.
METHODS: dict[str, Callable[[StockModel, StockModel], Draft]] = {
    'cwd': cwd,
    'pixel-wise': pixel_wise,
}
