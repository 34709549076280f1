"""One training of several: its config, options and folder."""

from dataclasses import dataclass, field
from pathlib import Path

#: In its folder: all that its processes printed.
LOG = 'train.log'


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        title: For people; no other run has the same.
        config: File of its config.
        folder: Work dir.
        length: How long it is, in iterations or epochs.
        options: What ``--cfg-options`` gets.
        metric: Key of the score in its validation.
        after: Checkpoints that must be there before it starts.
        unit: ``'iter'`` or ``'epoch'``, of the length.
        finished: Checkpoint of a model that is not trained again; None for
            a run that is trained.
    """

    title: str
    config: str
    folder: Path
    length: int
    options: dict[str, object] = field(repr=False)
    metric: str
    after: tuple[Path, ...] = ()
    unit: str = 'iter'
    finished: Path | None = None

    @property
    def checkpoint(self) -> Path:
        """What it leaves at its end."""
        return self.finished or self.folder / f'{self.unit}_{self.length}.pth'

    @property
    def log(self) -> Path:
        """All that its process printed."""
        return self.folder / LOG

    def arguments(self) -> list[str]:
        """Those of ``tools/train.py``."""
        # An interrupted training goes on from its last checkpoint.
        started = [self.config, '--work-dir', str(self.folder), '--resume']
        return [*started, *self.option_arguments()]

    def option_arguments(self) -> list[str]:
        """The options as ``--cfg-options``."""
        options = [f'{key}={value}' for key, value in self.options.items()]
        return ['--cfg-options', *options] if options else []
