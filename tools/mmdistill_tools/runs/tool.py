"""What the tools that train several models have in common."""

import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import TrainingError


@contextmanager
def exit_with_message(name: str) -> Iterator[None]:
    """End a tool in a sentence, and its trainings with it.

    Args:
        name: Of the tool; opens each sentence.
    """
    # The trainings are ended with this process, however it ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # What the hosts say of themselves is in the logs of the trainings.
    warnings.filterwarnings('ignore', module='mm(cv|det|engine|seg)')
    try:
        yield
    except TrainingError as error:
        raise SystemExit(f'{name}: {error}') from error
    except KeyboardInterrupt:
        print(
            f'{name}: interrupted; the same command goes on where it was.',
            file=sys.stderr,
        )
        raise SystemExit(130) from None


def write_atomically(path: Path, text: str) -> None:
    """Write a file under another name first: one that is there is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'{path.name}.unfinished')
    unfinished.write_text(text, encoding='utf-8')
    unfinished.replace(path)
