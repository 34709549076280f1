"""One training of several: its config, options and folder."""

from dataclasses import dataclass, field
from pathlib import Path

#: Log in the folder of a run: output of all its processes.
LOG_FILE = 'train.log'


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        title: Unique name to display.
        config: Config file.
        folder: Work dir.
        length: Number of iterations or epochs.
        options: Values of ``--cfg-options``.
        metric: Key of the score in the validation log.
        after: Checkpoints that must exist before the run starts.
        unit: Unit of the length, ``'iter'`` or ``'epoch'``.
        pretrained_checkpoint: Checkpoint of a finished model, which is not
            trained; None for a run that is trained.
    """

    title: str
    config: str
    folder: Path
    length: int
    options: dict[str, object] = field(repr=False)
    metric: str
    after: tuple[Path, ...] = ()
    unit: str = 'iter'
    pretrained_checkpoint: Path | None = None

    @property
    def checkpoint(self) -> Path:
        """The last checkpoint of the run."""
        if self.pretrained_checkpoint is not None:
            return self.pretrained_checkpoint
        return self.folder / f'{self.unit}_{self.length}.pth'

    @property
    def log(self) -> Path:
        """Log with the output of all processes of the run."""
        return self.folder / LOG_FILE

    def arguments(self, resume: str | None = 'auto') -> list[str]:
        """Arguments for ``tools/train.py``.

        Args:
            resume: ``'auto'``, or what to resume from; None: start anew.
        """
        words = [self.config, '--work-dir', str(self.folder)]
        words += [] if resume is None else ['--resume']
        words += [] if resume in (None, 'auto') else [resume]
        return [*words, *self.option_arguments()]

    def option_arguments(self) -> list[str]:
        """The options as ``--cfg-options``."""
        options = [f'{key}={value}' for key, value in self.options.items()]
        return ['--cfg-options', *options] if options else []
