"""The distiller: a stock model whose loss includes distillation terms."""

import copy
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from mmengine.logging import print_log
from torch import Tensor, nn

from mmdistill_dense.registry import MODELS

from ..hosts import is_distillable, is_semi_supervised
from .distillation import Distillation
from .guards import merge_losses
from .settings import check_none, split_teachers


@MODELS.register_module()
class DenseDistiller:
    """Build a stock student and add distillation terms to its ``loss``.

    The result *is* the student: its own class, extended in place as
    ``torch.distributed.fully_shard`` does, with one more child, ``distill``.
    So test-time augmentation, EMA, hooks, optimizer constructors and
    checkpoints of the host work as with the stock model. Its state dict is
    the student's plus ``distill.*`` keys, of connectors only.

    Args:
        student: Config of a stock detector or segmentor, or the model.
        teacher: ``dict(cfg=..., checkpoint=..., cfg_options=..., allow=...)``
            optionally with the switches of ``SpeedSwitches``;
            ``dict(type=..., ...)`` of a registered teacher, such as
            ``EncoderTeacher``; or several of these by name.
        terms: Config of each term, by its name. Keys: ``at``, ``loss`` and
            optionally ``connector``, ``level_weights``, ``schedule``,
            ``grid``, ``classes``, ``extras``, ``through``, ``share``,
            ``teacher``; see ``docs/concepts.md``.
        data_preprocessor: Injected by MMEngine's Runner from the top level of
            a config; used only if the student has none of its own.
        input_size: Height and width of the blank image of the dry run, in
            pixels.
        inherit: Modules that get a teacher's weights when training starts:
            their paths, or ``dict(modules=[...], teacher='name')``.
        pretrained: Must be ``None``. The parameter exists because mmseg's
            ``init_model`` writes ``pretrained`` and ``train_cfg`` into the
            config of any model.
        train_cfg: Must be ``None``; that of the student is in ``student``.

    Raises:
        ValueError: If a name, module, shape or weight does not fit; the
            message names it, the expectation and the remedy.
    """

    def __new__(
        cls, student: Any = None, *args: Any, **kwargs: Any
    ) -> 'DenseDistiller':
        # cls is already the combined class: copy and pickle call __new__
        # without arguments.
        if issubclass(cls, nn.Module):
            return super().__new__(cls)
        model = _build_student(student, kwargs.get('data_preprocessor'))
        model.__class__ = distilled_class(type(model), cls)
        return model

    def __init__(
        self,
        student: dict | nn.Module,
        teacher: dict | None = None,
        terms: Mapping[str, dict] | None = None,
        data_preprocessor: dict | nn.Module | None = None,
        input_size: tuple[int, int] = (256, 256),
        inherit: Sequence[str] | Mapping | None = None,
        pretrained: None = None,
        train_cfg: None = None,
    ) -> None:
        check_none('model.student', pretrained=pretrained, train_cfg=train_cfg)
        try:
            self.distill = Distillation(
                self,
                split_teachers(teacher),
                dict(terms or {}),
                tuple(input_size),
                inherit,
            )
        except Exception:
            # Restore the class of a model that the caller has built.
            self.__class__ = self._stock_class
            raise

    @property
    def _stock_class(self) -> type:
        """Class of the student before it was extended."""
        return type(self).__bases__[1]

    def loss(self, inputs: Tensor, data_samples: list, **kwargs: Any) -> dict:
        """The student's own losses, and one ``loss_<term>`` per term.

        Args:
            inputs: Images of shape (N, C, H, W).
            data_samples: Their data samples.
        """
        distill = self.distill
        distill.load_teachers_and_losses(next(self.parameters()))
        with distill.recording(inputs, data_samples, self) as step:
            losses = super().loss(inputs, data_samples, **kwargs)
            term_losses = step.losses()
        term_losses = step.with_shares(term_losses, losses, self)
        losses = merge_losses(losses, term_losses, self._stock_class.__name__)
        distill.balance.measure(losses, step.factors, self)
        return losses

    def init_weights(self) -> None:
        """Initialise the student as a stock run does; load the teachers.

        Inherited modules are copied in the first call only, as MMEngine
        initialises once. ``load_from`` and ``resume`` run later.
        """
        fresh = not getattr(self, 'is_init', False)
        distill = self._modules.pop('distill')
        try:
            super().init_weights()
        finally:
            self._modules['distill'] = distill
        distill.load_teachers_and_losses(next(self.parameters()))
        if fresh:
            distill.copy_inherited(self)

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Refuse a checkpoint that shares no key with the student.

        MMEngine would only log the missing keys.
        """
        own = self.state_dict(prefix=prefix)
        if state_dict and own.keys().isdisjoint(state_dict):
            raise ValueError(
                f'the checkpoint has no key of {type(self).__name__}: its '
                f'first keys are {list(state_dict)[:3]}, expected keys such '
                f'as {list(own)[:3]}. It belongs to another model, or its '
                "keys have a prefix (such as 'student.' or 'model.') that "
                'must be removed.'
            )
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def __reduce_ex__(self, protocol: int) -> tuple:
        """Store the two base classes.

        Copying and unpickling create their common subclass again.
        """
        distiller_class, stock_class = type(self).__bases__
        return _empty_instance, (stock_class, distiller_class), self.__dict__


@cache
def distilled_class(stock_class: type, distiller_class: type) -> type:
    """Subclass of a distiller and a stock class, created once."""
    members = dict(__doc__=stock_class.__doc__, __module__=__name__)
    return type(
        f'Distilled{stock_class.__name__}',
        (distiller_class, stock_class),
        members,
    )


def _empty_instance(stock_class: type, distiller_class: type) -> nn.Module:
    combined = distilled_class(stock_class, distiller_class)
    return combined.__new__(combined)


def _build_student(student: Any, preprocessor: Any) -> nn.Module:
    """Build the stock model as the Runner would.

    Raises:
        TypeError: If ``student`` is neither a config nor a model.
        ValueError: If the model cannot be distilled.
    """
    if isinstance(student, nn.Module):
        model = student
    elif isinstance(student, Mapping):
        _log_ignored_preprocessor(student, preprocessor)
        defaults = {}
        if preprocessor is not None:
            defaults = dict(data_preprocessor=copy.deepcopy(preprocessor))
        # A copy: models modify their config, which may be the teacher's too.
        model = MODELS.build(copy.deepcopy(student), default_args=defaults)
    else:
        raise TypeError(
            'DenseDistiller: student must be the config of a stock model '
            f'(student=_base_.model), got {type(student).__name__}.'
        )
    if is_semi_supervised(model):
        raise ValueError(
            f'DenseDistiller: {type(model).__name__} cannot be distilled: it '
            'is semi-supervised, with a teacher of its own and several '
            'batches a step, expected a model of one batch. Distil its '
            'detector: student=<the config in its detector=>.'
        )
    if not is_distillable(model) or hasattr(model, 'distill'):
        raise ValueError(
            f'DenseDistiller: {type(model).__name__} cannot be distilled: '
            'expected a stock detector or segmentor, one with extract_feat '
            'and without a distill of its own.'
        )
    return model


def _log_ignored_preprocessor(student: Mapping, injected: Any) -> None:
    """Log which settings of the config's top level are ignored."""
    own = student.get('data_preprocessor')
    if not isinstance(own, Mapping) or not isinstance(injected, Mapping):
        return
    differing = sorted(
        key
        for key in own.keys() | injected.keys()
        if own.get(key) != injected.get(key) and not key.startswith('_')
    )
    if differing:
        print_log(
            "The student's own data_preprocessor is used; the one at the "
            f'top level of the config differs in {differing} and is ignored.',
            logger='current',
        )
