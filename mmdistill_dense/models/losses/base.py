"""The contract between a term and its loss."""

import inspect
from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from mmdistill_dense.functional.checks import check_weight

#: Keywords that a loss may take beside ``student`` and ``teacher``.
KEYWORDS = ('level', 'iteration')


class LoadedTeacher(Protocol):
    """What a loss may know of its teacher."""

    #: Name in the config.
    name: str
    #: Identifies the weights.
    fingerprint: str


class DistillationLoss(nn.Module):
    """All that a term uses of its loss, with the defaults.

    A loss must have a ``forward`` that can be called with the keywords
    ``student`` and ``teacher`` alone: two maps (N, C, H, W) of one shape, or
    the outputs of two heads, once per level. It returns a scalar, multiplied
    by ``loss_weight``. It may take further keywords, and gets those that its
    signature names:

    - ``level``: index of the teacher's level, counted from 0;
    - ``iteration``: a function without arguments that returns the Runner's
      iteration, counted from 0.

    Everything else is optional, and this class has the defaults. A loss need
    not inherit from it: of a plain module the members of the same name are
    used.

    Args:
        loss_weight: Factor of the loss, not negative. At 0 the term is
            disabled: its teacher does not run and nothing is loaded for it.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = check_weight(type(self).__name__, loss_weight)

    @property
    def loaded(self) -> bool:
        """Whether ``forward`` has all that it needs.

        While it has not, the dry run leaves the loss out, and ``load`` is
        called where training starts.
        """
        return True

    def load(self, channels: Sequence[int], like: Tensor) -> None:
        """Load what the loss needs beside the two maps, such as a file.

        Args:
            channels: Of each level recorded of the teacher.
            like: A parameter of the student, for device and dtype.
        """
        raise NotImplementedError(
            f'{type(self).__name__} is not loaded, but has no load().'
        )

    def note_teacher(self, term: str, teacher: LoadedTeacher) -> None:
        """Compare what ``load`` has read with the teacher, or log it.

        Args:
            term: Name of the term.
            teacher: The term's teacher, loaded.
        """

    def extra_repr(self) -> str:
        return f'loss_weight={self.loss_weight}'


_DEFAULTS = DistillationLoss()


def member_of(loss: nn.Module, name: str) -> Any:
    """A member of :class:`DistillationLoss`; its default if a loss has none.

    Args:
        loss: Any module that is used as a loss.
        name: ``'loss_weight'``, ``'loaded'`` or ``'note_teacher'``.
    """
    return getattr(loss, name, getattr(_DEFAULTS, name))


def keywords_of(loss: nn.Module) -> list[str]:
    """Which of :data:`KEYWORDS` a loss takes.

    Raises:
        ValueError: If it cannot be called with ``student``, ``teacher`` and
            these alone.
    """
    signature = inspect.signature(loss.forward)
    taken = [name for name in KEYWORDS if name in signature.parameters]
    try:
        signature.bind(student=None, teacher=None, **dict.fromkeys(taken))
    except TypeError as error:
        raise ValueError(
            f'{type(loss).__name__}.forward must be callable as '
            f'forward(student=..., teacher=...): {error}. It may ask for '
            f'{" and ".join(KEYWORDS)} too.'
        ) from error
    return taken
