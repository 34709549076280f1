"""Encoders of other packages as the teacher of a draft."""

import os
import os.path as osp
from math import log
from typing import Any

from mmengine.config import Config

from mmdistill_dense.compat import own_config, package_root
from mmdistill_dense.models.encoders import EncoderTeacher

from .stock_model import Specs, StockModel

KIND = 'mmdistill_dense.EncoderTeacher'
_FOLDER = '_base_/teachers'


def encoder_names() -> list[str]:
    """Names of the encoders in ``configs/_base_/teachers``."""
    folder = osp.join(package_root(), 'configs', _FOLDER)
    return sorted(
        name.removesuffix('.py')
        for name in os.listdir(folder)
        if name.endswith('.py') and _is_encoder(osp.join(folder, name))
    )


def _is_encoder(path: str) -> bool:
    with open(path, encoding='utf-8') as file:
        return KIND in file.read()


def read_encoder(name: str) -> dict[str, Any]:
    """Settings of an encoder teacher.

    Args:
        name: One of :func:`encoder_names`, or a ``.py`` file with
            ``teacher = dict(type='mmdistill_dense.EncoderTeacher', ...)``.

    Raises:
        ValueError: If it is neither.
    """
    is_file = name.endswith('.py') and osp.isfile(name)
    if not is_file and name not in encoder_names():
        raise ValueError(
            f'--encoder {name} is not known. Choose one of '
            f'{", ".join(encoder_names())}, or a .py file with teacher='
            f'dict(type={KIND!r}, ...).'
        )
    path = name if is_file else own_config(f'{_FOLDER}/{name}.py')
    teacher = Config.fromfile(path).to_dict().get('teacher')
    if not isinstance(teacher, dict) or teacher.get('type') != KIND:
        raise ValueError(
            f'--encoder {name}: expected teacher=dict(type={KIND!r}, ...) in '
            'it.'
        )
    return teacher


class EncoderModel(StockModel):
    """An encoder with random weights, for a draft.

    Args:
        name: Its name, as the user gives it.
        settings: Settings of the teacher.
        size: Height and width of the dry run's image, in pixels.
    """

    def __init__(
        self, name: str, settings: dict[str, Any], size: tuple[int, int]
    ) -> None:
        settings = {k: v for k, v in settings.items() if k != 'type'}
        teacher = EncoderTeacher('teacher', **settings)
        super().__init__(name, teacher.config, size)
        self._nodes: str | None = settings.get('nodes')

    @property
    def path(self) -> str:
        """Module whose maps are recorded; the pass stops behind it."""
        inside = f'backbone.model.{self._nodes}'
        if self._nodes is None:
            return 'backbone'
        try:
            self.levels(inside)
        except ValueError:  # tokens, which the backbone turns into a map
            return 'backbone'
        return inside


def nearest_stage(student: StockModel, teacher: Specs) -> str | None:
    """The last module of the student's backbone of the nearest stride.

    Args:
        student: The student.
        teacher: The teacher's levels; the last one counts.

    Returns:
        Its path, such as ``'backbone.layer4'``; ``None`` if no child of the
        backbone puts out one map.
    """
    vertical = teacher[-1].stride
    best, path = float('inf'), None
    for child, _ in student.model.backbone.named_children():
        try:
            specs = student.levels(f'backbone.{child}')
        except (RuntimeError, ValueError):
            continue  # no map, or never called, as a list of stages
        if len(specs) != 1 or vertical is None or specs[0].stride is None:
            continue
        distance = abs(log(specs[0].stride[0] / vertical[0]))
        if distance <= best:
            best, path = distance, f'backbone.{child}'
    return path
