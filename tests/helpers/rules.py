"""One test for a rule that holds for many files."""

import inspect
from functools import wraps
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def name_of(item):
    """A path relative to the repository, anything else as it is printed."""
    if isinstance(item, Path) and item.is_relative_to(ROOT):
        return item.relative_to(ROOT).as_posix()
    return str(item)


def for_each(items):
    """Turn a test of one item, its first argument, into one of all items.

    It fails once, with the name and the reason of every item that fails.
    """
    items = list(items)

    def decorate(check):
        @wraps(check)
        def test(**fixtures):
            failures = []
            for item in items:
                try:
                    check(item, **fixtures)
                except Exception as error:
                    reason = f'{type(error).__name__}: {error}'
                    failures.append(f'{name_of(item)}: {reason}')
            assert items, 'there is nothing to check'
            if failures:
                pytest.fail('\n'.join(failures), pytrace=False)

        signature = inspect.signature(check)
        _, *fixtures = signature.parameters.values()
        test.__signature__ = signature.replace(parameters=fixtures)
        return test

    return decorate
