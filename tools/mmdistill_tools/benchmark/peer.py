"""The peer, mmrazor 1.0.0, as its own recipes set it up.

It imports on torch 2 only without its quantization, which reaches into parts
of ``torch.ao`` that are gone. Those packages of it are left out here: an
empty module takes the place of each, and which ones is printed and written
into the results. Nothing of what is measured is in them.
"""

import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from io import StringIO
from types import ModuleType
from typing import Any

from mmengine.registry import DefaultScope
from torch import Tensor

from . import BenchmarkError
from .contenders import Contender
from .models import Pair, Setup

NAME = 'mmrazor'
INSTALL = 'pip install --no-deps mmrazor==1.0.0 ordered-set'
#: Packages of it that are left out, and why.
LEFT_OUT = {
    'mmrazor.structures.quantization': 'needs parts of torch.ao that are gone',
    'mmrazor.models.algorithms.quantization': 'quantization',
    'mmrazor.models.quantizers': 'quantization',
    'mmrazor.models.observers': 'quantization',
    'mmrazor.models.fake_quants': 'quantization',
    'mmrazor.engine.runner.quantization_loops': 'quantization',
    'mmrazor.models.task_modules.predictor': 'needs joblib and pydacefit',
}
#: Its two ways to distil, by name for tables.
SINGLE, FPN = 'mmrazor SingleTeacherDistill', 'mmrazor FpnTeacherDistill'


class _Empty(ModuleType):
    """A module in which every name is an empty class."""

    __path__: list[str] = []
    __all__: list[str] = []

    def __getattr__(self, name: str) -> type:
        if name.startswith('__'):
            raise AttributeError(name)
        return type(name, (), {})


class _LeaveOut:
    """Finds an empty module for each name in :data:`LEFT_OUT`."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in LEFT_OUT else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is in it."""


def load() -> dict[str, Any]:
    """Import the peer.

    Returns:
        Name, version, and what was left out: what a result says of it.

    Raises:
        BenchmarkError: If it is not installed, or does not import.
    """
    if find_spec(NAME) is None:
        raise BenchmarkError(
            f'--peer {NAME}: {NAME} is not installed here. Get it with: '
            f'{INSTALL}'
        )
    if not any(isinstance(finder, _LeaveOut) for finder in sys.meta_path):
        sys.meta_path.insert(0, _LeaveOut())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            import mmrazor.models  # noqa: F401
    except (ImportError, AttributeError, AssertionError) as error:
        raise BenchmarkError(
            f'--peer {NAME}: it does not import: {error}. Expected 1.0.0 with '
            f'mmcv <= 2.1.0: {INSTALL}'
        ) from error
    return dict(name=NAME, version=_version(), left_out=dict(LEFT_OUT))


def _version() -> str:
    try:
        return version(NAME)
    except PackageNotFoundError:  # a bare folder on the path
        from mmrazor.version import __version__

        return __version__


def channel_wise_loss(tau: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Its loss, a function of the student's and the teacher's map."""
    from mmrazor.models.losses import ChannelWiseDivergence

    return ChannelWiseDivergence(tau=tau, loss_weight=1.0)


def names(pair: Pair) -> tuple[str, ...]:
    """Those of its ways that can distil a pair."""
    return (SINGLE, FPN) if pair.levels else (SINGLE,)


def contender(
    name: str, setup: Setup, data: dict, precision: str, seed: int
) -> Contender:
    """A training step of it, with our loss's temperature and weight."""
    from mmrazor.models.algorithms import (
        FpnTeacherDistill,
        SingleTeacherDistill,
    )

    kind = FpnTeacherDistill if name == FPN else SingleTeacherDistill
    student = setup.stock_student()
    # mmengine prints what it loads.
    quiet = redirect_stdout(StringIO())
    with DefaultScope.overwrite_default_scope(NAME), quiet:
        model = kind(
            distiller=_distiller(setup),
            architecture=student,
            teacher=setup.build(setup.model['teacher']['cfg']['model']),
            teacher_ckpt=str(setup.checkpoint),
        )
    return Contender(
        name,
        model.to(data['inputs'].device),
        setup,
        data,
        precision,
        student=student,
        seed=seed,
        prefixes=('student.', 'distill.'),
    )


def _distiller(setup: Setup) -> dict:
    """A recorder on both sides, and one loss for each level."""
    (term,) = setup.model['terms'].values()
    ours = term['loss']
    loss = dict(
        type='ChannelWiseDivergence',
        tau=ours['tau'],
        loss_weight=ours['loss_weight'],
    )
    levels = range(setup.pair.levels) if setup.pair.levels else [None]
    recorder = dict(type='ModuleOutputs', source=setup.pair.source)
    return dict(
        type='ConfigurableDistiller',
        student_recorders=dict(maps=dict(recorder)),
        teacher_recorders=dict(maps=dict(recorder)),
        distill_losses={f'loss_cwd_{i}': dict(loss) for i in levels},
        loss_forward_mappings={
            f'loss_cwd_{i}': dict(
                preds_S=_record(True, i), preds_T=_record(False, i)
            )
            for i in levels
        },
    )


def _record(from_student: bool, level: int | None) -> dict:
    record = dict(from_student=from_student, recorder='maps')
    return record if level is None else {**record, 'data_idx': level}
