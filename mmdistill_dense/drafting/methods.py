"""Methods for a draft: each chooses the terms between two models.

A method takes both models and returns the terms, with the reasons for them.
To add one, add a function here and an entry in :data:`METHODS`; its values
are those of a preset in ``configs/_base_/terms``.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from .dense_heads import draft_heads
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
    preset, origin = 'cwd_encoder', 'are from no publication.'
    if not isinstance(teacher, EncoderModel):
        yield from _cwd_logits(student, teacher)
        preset = 'cwd_openmmlab-det'
        origin = "are MMRazor's for each level of a detector."
    yield from _feature_options(student, teacher, preset, origin)


def _cwd_logits(
    student: StockModel, teacher: StockModel
) -> Iterator[Option | str]:
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


def _feature_options(
    student: StockModel, teacher: StockModel, preset: str, origin: str
) -> Iterator[Option | str]:
    """Options for feature maps: the preset's module, necks, backbones.

    Args:
        student: The student.
        teacher: The teacher.
        preset: Preset; its name begins with that of the term.
        origin: Source of the values, a sentence that they begin.
    """
    make = partial(preset_option, preset, term=preset.partition('_')[0])
    if isinstance(teacher, EncoderModel):
        stage = nearest_stage(student, teacher.levels(teacher.path))
        if stage is None:
            yield 'not backbone: no child of it puts out one map.'
        else:
            origin = f'{origin} Tune the weight for this teacher.'
            option = make(stage, origin)
            yield replace(option, teacher_at=teacher.path)
        return
    own = make(None, origin)
    if own.at not in ('neck', 'backbone'):
        yield own
    if hasattr(student.model, 'neck') and hasattr(teacher.model, 'neck'):
        yield make('neck', origin)
    else:
        yield 'not neck: one or both have none.'
    yield make('backbone', origin)


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


def _kind(model: StockModel) -> str:
    """Part of a preset's name: ``'seg'``, ``'one-stage'``, ``'two-stage'``."""
    if model.is_segmentor:
        return 'seg'
    return 'two-stage' if hasattr(model.model, 'roi_head') else 'one-stage'


def fgd(student: StockModel, teacher: StockModel) -> Draft:
    """Feature maps inside and outside of boxes, and as a whole."""
    kind = _kind(student)
    options = iter(['FGD needs boxes, so the student must be a detector.'])
    if kind != 'seg':
        origin = (
            f"on parts whose weights are the authors' for {kind} detectors."
        )
        options = _feature_options(student, teacher, f'fgd_{kind}', origin)
    return first_match('fgd', options, student, teacher)


def pkd(student: StockModel, teacher: StockModel) -> Draft:
    """Correlation of feature maps."""
    kind = _kind(student).replace('seg', 'one-stage')
    origin = f"is MMRazor's for {kind} detectors."
    options = _feature_options(student, teacher, f'pkd_{kind}', origin)
    return first_match('pkd', options, student, teacher)


def mgd(student: StockModel, teacher: StockModel) -> Draft:
    """The teacher's feature maps, restored from parts of the student's."""
    kind = _kind(student)
    of = 'segmentors' if kind == 'seg' else f'{kind} detectors'
    origin = f"is the authors' for {of}."
    options = _feature_options(student, teacher, f'mgd_{kind}', origin)
    return first_match('mgd', options, student, teacher)


def hints(student: StockModel, teacher: StockModel) -> Draft:
    """Mean squared error of feature maps."""
    preset, origin = 'hints_det', "is that of DIST's authors for necks."
    if student.is_segmentor:
        preset, origin = 'hints_seg', 'is from no publication: tune it.'
    options = _feature_options(student, teacher, preset, origin)
    return first_match('hints', options, student, teacher)


def cosine(student: StockModel, teacher: StockModel) -> Draft:
    """Cosine distance of feature maps."""
    origin = 'is from no publication: tune it.'
    options = _feature_options(student, teacher, 'cosine_mlp', origin)
    return first_match('cosine', options, student, teacher)


def ld(student: StockModel, teacher: StockModel) -> Draft:
    """Localisation distillation between two GFL heads."""
    return draft_heads('LD', dict(GFL='ld'), student, teacher)


def crosskd(student: StockModel, teacher: StockModel) -> Draft:
    """CrossKD between two heads of GFL, or of RetinaNet."""
    presets = dict(GFL='crosskd_gfl', RetinaNet='crosskd_retinanet')
    return draft_heads('CrossKD', presets, student, teacher)


#: By name, as in ``--method``.
METHODS: dict[str, Callable[[StockModel, StockModel], Draft]] = {
    'cwd': cwd,
    'fgd': fgd,
    'pixel-wise': pixel_wise,
    'pkd': pkd,
    'mgd': mgd,
    'hints': hints,
    'cosine': cosine,
    'ld': ld,
    'crosskd': crosskd,
}
