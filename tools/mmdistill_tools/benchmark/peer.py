"""The peer, mmrazor 1.0.0, configured as in its own recipes.

On torch 2 it imports only without its quantization, which needs removed parts
of ``torch.ao``. While it is imported, and while its models are built, an empty
module replaces each such package; their names are printed and written into
the results. No measured code is in them.
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from types import ModuleType
from typing import Any

from mmengine.registry import DefaultScope
from torch import Tensor

from . import BenchmarkError
from .arguments import INSTALL, PEER
from .contenders import Contender
from .models import Setup

#: Packages of the peer that are left out, with the reason.
LEFT_OUT = {
    'mmrazor.structures.quantization': 'needs parts of torch.ao that are gone',
    'mmrazor.models.algorithms.quantization': 'quantization',
    'mmrazor.models.quantizers': 'quantization',
    'mmrazor.models.observers': 'quantization',
    'mmrazor.models.fake_quants': 'quantization',
    'mmrazor.engine.runner.quantization_loops': 'quantization',
    'mmrazor.models.task_modules.predictor': 'needs joblib and pydacefit',
}
#: Labels of its two distillation algorithms.
SINGLE, FPN = 'mmrazor SingleTeacherDistill', 'mmrazor FpnTeacherDistill'


class _EmptyModule(ModuleType):
    """A module in which every name is an empty class."""

    __path__: list[str] = []
    __all__: list[str] = []

    def __getattr__(self, name: str) -> type:
        if name.startswith('__'):
            raise AttributeError(name)
        return type(name, (), {})


@contextmanager
def stand_ins() -> Iterator[None]:
    """Replace each package of :data:`LEFT_OUT` by an empty module.

    Modules that import one of them keep it; they are removed from
    ``sys.modules`` afterwards.
    """
    added = {
        name: _EmptyModule(name) for name in LEFT_OUT.keys() - sys.modules
    }
    sys.modules.update(added)
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)


def load() -> dict[str, Any]:
    """Import the peer.

    Returns:
        Name, version and omitted packages, for the results.

    Raises:
        BenchmarkError: If it is not installed, or does not import.
    """
    if find_spec(PEER) is None:
        raise BenchmarkError(
            f'--peer {PEER}: {PEER} is not installed here. Get it with: '
            f'{INSTALL}'
        )
    try:
        with stand_ins(), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            import mmrazor.models  # noqa: F401
    except (ImportError, AttributeError, AssertionError) as error:
        raise BenchmarkError(
            f'--peer {PEER}: it does not import: {error}. Expected 1.0.0 with '
            f'mmcv <= 2.1.0: {INSTALL}'
        ) from error
    from mmrazor.version import __version__

    return dict(name=PEER, version=__version__, left_out=dict(LEFT_OUT))


def channel_wise_loss(tau: float) -> Callable[..., Tensor]:
    """The peer's loss, a function of ``student`` and ``teacher``."""
    from mmrazor.models.losses import ChannelWiseDivergence

    loss = ChannelWiseDivergence(tau=tau, loss_weight=1.0)
    return lambda student, teacher: loss(student, teacher)


def names(setup: Setup) -> tuple[str, ...]:
    """Labels of the peer's algorithms that can distil a pair."""
    return (SINGLE, FPN) if setup.pair.levels else (SINGLE,)


def contender(name: str, setup: Setup) -> Contender:
    """The peer's training step, with the same temperature and weight."""
    from mmrazor.models.algorithms import (
        FpnTeacherDistill,
        SingleTeacherDistill,
    )

    kind = FpnTeacherDistill if name == FPN else SingleTeacherDistill
    student = setup.stock_student()
    # mmengine prints the files that it loads.
    quiet = redirect_stdout(StringIO())
    with stand_ins(), DefaultScope.overwrite_default_scope(PEER), quiet:
        model = kind(
            distiller=_distiller(setup),
            architecture=student,
            teacher=setup.build(setup.model['teacher']['cfg']['model']),
            teacher_ckpt=str(setup.checkpoint),
        )
    prefixes = 'student.', 'distill.'
    return Contender(name, setup, model, student=student, prefixes=prefixes)


def _distiller(setup: Setup) -> dict:
    """A recorder in both models, and one loss for each level."""
    (term,) = setup.model['terms'].values()
    loss = {key: term['loss'][key] for key in ('tau', 'loss_weight')}
    levels = range(setup.pair.levels) if setup.pair.levels else [None]

    def record(from_student: bool, level: int | None) -> dict:
        place = dict(from_student=from_student, recorder='maps')
        return place if level is None else {**place, 'data_idx': level}

    def recorders() -> dict:
        source = setup.pair.source
        return dict(maps=dict(type='ModuleOutputs', source=source))

    return dict(
        type='ConfigurableDistiller',
        student_recorders=recorders(),
        teacher_recorders=recorders(),
        distill_losses={
            f'loss_cwd_{i}': dict(type='ChannelWiseDivergence', **loss)
            for i in levels
        },
        loss_forward_mappings={
            f'loss_cwd_{i}': dict(
                preds_S=record(True, i), preds_T=record(False, i)
            )
            for i in levels
        },
    )
