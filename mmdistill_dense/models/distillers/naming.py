"""Say which term an error is about."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def naming(term: str, side: str = '') -> Iterator[None]:
    """Put the term's name before what a lower floor has to say."""
    try:
        yield
    except (ValueError, TypeError, RuntimeError) as error:
        kind = type(error)
        if kind not in (ValueError, TypeError, RuntimeError):
            raise  # such as torch's out-of-memory error
        where = f'term {term!r}' + (f', {side}' if side else '')
        raise kind(f'{where}: {error}') from error
