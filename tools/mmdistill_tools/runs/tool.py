"""Shared parts of the tools that train several models."""

import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import TrainingError


@contextmanager
def exit_with_message(name: str) -> Iterator[None]:
    """Exit with a message instead of a traceback.

    Args:
        name: Name of the tool, prefixed to messages.
    """
    # Exit normally on SIGTERM, so that the trainings are terminated, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # The hosts' warnings are in the logs of the trainings.
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
    """Write a temporary file and rename it, so no partial file remains."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f'{path.name}.unfinished')
    unfinished.write_text(text, encoding='utf-8')
    unfinished.replace(path)
