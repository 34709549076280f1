"""Drafts a config, builds its model and writes it."""

import os
import os.path as osp
from typing import Any
from uuid import uuid4

from mmengine.config import Config
from rich.console import RenderableType

from mmdistill_dense.compat import config_path
from mmdistill_dense.inspection import describe, read_config
from mmdistill_dense.inspection.source import DRY_RUN_SIZE, is_distilled
from mmdistill_dense.models.utils import resolve_config

from .encoders import EncoderModel, read_encoder
from .methods import METHODS
from .options import Draft
from .stock_model import StockModel
from .text import base_reference, config_text, file_reference, packed_code

Size = tuple[int, int]


def write_config(
    student: str,
    teacher: str | None,
    out: str | None = None,
    *,
    encoder: str | None = None,
    method: str = 'cwd',
    checkpoint: str | None = None,
    size: Size | None = None,
    force: bool = False,
) -> tuple[str, list[str], list[RenderableType]]:
    """Write a distillation config after building its model.

    Args:
        student: The student's config, a file or ``'package::path'``.
        teacher: The teacher's config, likewise; ``None`` with ``encoder``.
        out: File to write; default: named after method, teacher and student.
        encoder: Name of an encoder in place of the teacher's config, see
            :func:`read_encoder`.
        method: One of :data:`METHODS`.
        checkpoint: File or address of the teacher's weights.
        size: Height and width of the dry run's image, in pixels, if a model
            needs a certain size.
        force: Whether to overwrite an existing file.

    Returns:
        The path, the reasons for its content, and the inspection.

    Raises:
        FileExistsError: If the file exists.
        FileNotFoundError: If a config does not exist.
        ValueError: If the student is distilled already, no maps of the two
            models can be aligned, or there is a teacher and an encoder.
    """
    if (teacher is None) == (encoder is None):
        raise ValueError(
            "expected the teacher's config or --encoder NAME, one of them."
        )
    source = teacher or encoder or ''
    out = out or f'{method}_{_stem(source)}_{_stem(student)}.py'
    student_config = _read_student_config(student)
    dry_run_size = size or DRY_RUN_SIZE
    if encoder is not None:
        settings = read_encoder(encoder)
        made_from = config_files(student)
        from_model: StockModel = EncoderModel(encoder, settings, dry_run_size)
    else:
        settings = dict(cfg=source)
        made_from = config_files(student, source)
        from_model = StockModel(
            source, resolve_config(source, None), dry_run_size
        )
    _check_out(out, force, made_from)
    draft = METHODS[method](
        StockModel(student, student_config, dry_run_size), from_model
    )
    folder = osp.dirname(osp.abspath(out))
    os.makedirs(folder, exist_ok=True)
    model = _model_settings(settings, checkpoint, draft, folder, size)
    text = config_text(
        f'{method.upper()}: {_stem(student)} learns from {_stem(source)}.',
        base_reference(student, folder),
        model,
        draft.note,
        bool(student_config.get('custom_hooks')),
    )
    return out, draft.reasons, _write(out, text)


def _stem(name: str) -> str:
    return osp.splitext(osp.basename(name))[0]


def config_files(*names: str) -> set[str]:
    """Real paths of configs and of all configs that they inherit from."""
    paths: set[str] = set()
    pending = [config_path(name) for name in names]
    while pending:
        path = osp.realpath(pending.pop())
        if path not in paths and osp.isfile(path):
            paths.add(path)
            for base in Config._get_base_files(path):
                pending.append(Config._get_cfg_path(base, path)[0])
    return paths


def _check_out(out: str, force: bool, made_from: set[str]) -> None:
    if not out.endswith('.py'):
        raise ValueError(f'a config is a .py file, got --out {out}.')
    if osp.realpath(out) in made_from:
        raise FileExistsError(
            f'--out {out} would overwrite a source of the new config: '
            'choose another name.'
        )
    if osp.exists(out) and not force:
        raise FileExistsError(
            f'{out} exists: choose another --out, or overwrite it with '
            '--force.'
        )


def _read_student_config(name: str) -> Config:
    config = read_config(name)
    if is_distilled(config):
        raise ValueError(
            f'{name} is a distillation config already: give the stock config '
            'that it inherits from.'
        )
    return config


def _model_settings(
    teacher: dict[str, Any],
    checkpoint: str | None,
    draft: Draft,
    folder: str,
    size: Size | None,
) -> dict:
    if checkpoint is not None:
        checkpoint = file_reference(checkpoint, folder)
    # The checkpoint comes last, where a remark may follow it.
    own = teacher.pop('checkpoint', None)
    teacher['checkpoint'] = checkpoint or own
    settings: dict[str, Any] = dict(teacher=teacher, terms=draft.terms)
    if 'cfg' in teacher:
        teacher['cfg'] = file_reference(teacher['cfg'], folder)
    else:
        settings['teacher'] = packed_code(teacher, 4)
    if size is not None:
        settings['input_size'] = tuple(size)
    return settings


def _write(out: str, text: str) -> list[RenderableType]:
    """Move a file to its path after building a model from it."""
    folder, name = osp.split(osp.abspath(out))
    # In the same folder, so that relative paths in it are valid.
    trial = osp.join(folder, f'_{uuid4().hex}.py')
    try:
        with open(trial, 'w', encoding='utf-8') as file:
            file.write(text)
        inspection = describe(read_config(trial))
        os.replace(trial, osp.join(folder, name))
    finally:
        if osp.exists(trial):
            os.remove(trial)
    return inspection
