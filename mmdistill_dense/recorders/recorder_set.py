"""The recorders of one model."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

from .paths import resolve_paths
from .recorder import CallCountdown, Recorder

#: Key of a recorder: module path, 'output' or 'input', clone.
RecorderId = tuple[str, str, bool]


class Source:
    """An ordered group of recorders that is read as one list of levels."""

    def __init__(self, recorders: list[Recorder]) -> None:
        self.recorders = recorders

    @property
    def paths(self) -> list[str]:
        """Module names, in the order in which they are read."""
        return [recorder.path for recorder in self.recorders]

    def __str__(self) -> str:
        prefix = {'input': 'input of ', 'output': ''}
        return ', '.join(prefix[r.take] + r.path for r in self.recorders)

    def read(self) -> list[Tensor]:
        """All recorded tensors; raises as :meth:`Recorder.read` does."""
        return [x for recorder in self.recorders for x in recorder.read()]


class RecorderSet:
    """Recorders of a model, shared by all sources that need the same one.

    Args:
        model: The model whose modules are recorded.
    """

    def __init__(self, model: nn.Module) -> None:
        self._recorders: dict[RecorderId, Recorder] = {}
        self._sources: dict[str, Source] = {}
        self._names = [name for name, _ in model.named_modules()]

    def add(
        self,
        model: nn.Module,
        key: str,
        path: str,
        take: str = 'output',
        clone: bool = False,
    ) -> Source:
        """Add recorders to the modules that match ``path``.

        Args:
            model: The model given to the constructor.
            key: Name under which the source is switched on and read.
            path: Module path, glob or brace pattern.
            take: ``'output'`` or ``'input'`` of these modules.
            clone: Record copies, which in-place operations cannot change.

        Raises:
            ValueError: If no module matches or ``take`` is unknown.
        """
        if take not in ('output', 'input'):
            raise ValueError(
                f"take must be 'output' or 'input' of {path!r}, got {take!r}."
            )
        recorders = []
        for name in resolve_paths(path, self._names):
            where = (name, take, clone)
            if where not in self._recorders:
                module = model.get_submodule(name)
                self._recorders[where] = Recorder(module, *where)
            recorders.append(self._recorders[where])
        self._sources[key] = Source(recorders)
        return self._sources[key]

    def __getitem__(self, key: str) -> Source:
        return self._sources[key]

    def calls(self) -> dict[RecorderId, int]:
        """Number of calls of each recorder since it was cleared."""
        return {where: r.calls for where, r in self._recorders.items()}

    @contextmanager
    def recording(
        self,
        keys: Iterable[str],
        expected: Mapping[RecorderId, int] | None = None,
    ) -> Iterator[None]:
        """Switch the named sources on inside ``with``; clear them after it.

        Args:
            keys: Sources to switch on.
            expected: Number of calls of each recorder. After the last one,
                :class:`StopForward` is raised in the forward pass. ``None``:
                the pass runs to its end.
        """
        active = {
            where: recorder
            for key in keys
            for where, recorder in self._recorders.items()
            if recorder in self._sources[key].recorders
        }
        countdown = None
        if expected is not None:
            countdown = CallCountdown(sum(expected[where] for where in active))
        for recorder in active.values():
            recorder.switch(True, countdown)
        try:
            yield
        finally:
            for recorder in active.values():
                recorder.switch(False)
