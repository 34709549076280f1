"""The interface between a term and its loss."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from mmdistill_dense.functional.checks import check_weight
from mmdistill_dense.registry import MODELS

#: Optional keywords of a loss, besides ``student`` and ``teacher``.
KEYWORDS = (
    *('level', 'iteration', 'targets', 'assigned', 'extras', 'generator'),
)


class LoadedTeacher(Protocol):
    """Attributes of a teacher that a loss may use."""

    #: Name in the config.
    name: str
    #: Identifier of the weights.
    fingerprint: str


class DistillationLoss(nn.Module):
    """Interface that a term requires of its loss, with defaults.

    A loss must have a ``forward`` that can be called with the keywords
    ``student`` and ``teacher`` alone: two maps (N, C, H, W) of one shape, or
    the outputs of two heads, once per level. It returns a scalar, multiplied
    by ``loss_weight``; or a sum and its divisor, two scalars, if levels have
    one divisor: the term divides the sum over levels by that of the divisors,
    and counts 0 where there is nothing to divide by. It gets those of these
    keywords that are in its signature:

    - ``level``: index of the teacher's level, counted from 0;
    - ``iteration``: a function without arguments that returns the Runner's
      iteration, counted from 0;
    - ``targets``: the ground truth, :class:`.inputs.Targets`;
    - ``assigned``: what the student's dense head assigned on the level,
      :class:`.inputs.Assignment`;
    - ``extras``: the tensors that the term records besides, by name and
      side, ``extras['scores']['teacher']``; the teacher's are detached;
    - ``generator``: a random generator on the map's device, keyed by seed,
      process, iteration, term and level.

    If ``channels`` is in the signature of its class, it is built with the
    channels of the teacher's levels, one number per level. Its parameters
    are trained with the student and not exported.

    Everything else is optional, with defaults in this class. A loss need not
    inherit from it: a plain module may define members of the same names.

    Args:
        loss_weight: Factor of the loss, not negative. At 0 the term is
            disabled: its teacher does not run and nothing is loaded for it.
    """

    #: Whether both maps need equally many channels. If so, and they differ, a
    #: 1x1 convolution is built where the config has no connector.
    equal_channels = True
    #: Whether channels must be the classes of one prior. The priors of a dense
    #: detector are then moved to the batch: (N, A C, H, W) -> (N A, C, H, W).
    per_prior = False

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = check_weight(type(self).__name__, loss_weight)

    @property
    def loaded(self) -> bool:
        """Whether ``forward`` can be called.

        If not, the dry run skips the loss, and ``load`` is called when
        training starts.
        """
        return True

    def load(self, channels: Sequence[int], like: Tensor) -> None:
        """Load what the loss needs besides the two maps, such as a file.

        Args:
            channels: Channels of each recorded level of the teacher.
            like: A parameter of the student, for device and dtype.
        """
        raise NotImplementedError(
            f'{type(self).__name__} is not loaded, but has no load().'
        )

    def check_teacher(self, term: str, teacher: LoadedTeacher) -> None:
        """Compare the loaded file with the teacher, or log it.

        Args:
            term: Name of the term.
            teacher: The term's teacher, loaded.
        """

    def extra_repr(self) -> str:
        return f'loss_weight={self.loss_weight}'


_DEFAULTS = DistillationLoss()


def member_or_default(loss: nn.Module, name: str) -> Any:
    """A member of a loss, or the default of :class:`DistillationLoss`.

    Args:
        loss: Any module used as a loss.
        name: Name of the member, not a method that must be implemented.
    """
    return getattr(loss, name, getattr(_DEFAULTS, name))


def build_loss(cfg: Mapping, channels: Sequence[int]) -> Any:
    """Build a registered loss.

    Args:
        cfg: Its config.
        channels: Channels of each level of the teacher, which a loss gets
            whose class names ``channels`` in its signature.
    """
    kind = cfg.get('type')
    found = MODELS.get(kind) if isinstance(kind, str) else kind
    defaults: dict[str, Any] = {}
    if found and 'channels' in inspect.signature(found).parameters:
        defaults = dict(channels=list(channels))
    return MODELS.build(cfg, default_args=defaults)


def keywords_of(loss: nn.Module) -> list[str]:
    """Which of :data:`KEYWORDS` a loss takes.

    Raises:
        ValueError: If it cannot be called with only ``student``, ``teacher``
            and these.
    """
    signature = inspect.signature(loss.forward)
    taken = [name for name in KEYWORDS if name in signature.parameters]
    try:
        signature.bind(student=None, teacher=None, **dict.fromkeys(taken))
    except TypeError as error:
        raise ValueError(
            f'{type(loss).__name__}.forward must be callable as '
            f'forward(student=..., teacher=...): {error}. It may take '
            f'{", ".join(KEYWORDS)} too.'
        ) from error
    return taken
