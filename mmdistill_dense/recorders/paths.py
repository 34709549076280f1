"""Module paths, with globs and braces."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase

_BRACES = re.compile(r'\{([^{}]*)\}')
_RANGE = re.compile(r'(\d+)\.\.(\d+)')


def resolve_paths(pattern: str, names: Iterable[str]) -> list[str]:
    """Module names that match a pattern, in a fixed order.

    ``*``, ``?`` and ``[...]`` match within one dotted part; matches come in
    the order of ``names``. ``{a,b}`` and ``{0..3}`` are expanded in the
    order in which they are written.

    Args:
        pattern: ``'neck'``, ``'neck.fpn_convs.*.conv'`` or
            ``'neck.fpn_convs.{0..3}.conv'``.
        names: The names of a model's modules.

    Returns:
        Names without repetition, at least one.

    Raises:
        ValueError: If an expanded pattern matches no name; the message lists
            the nearest names.

    Example:
        >>> resolve_paths('neck.{1..0}', ['neck', 'neck.0', 'neck.1'])
        ['neck.1', 'neck.0']
    """
    names = [name for name in names if name]
    found: dict[str, None] = {}
    for path in _expand_braces(pattern):
        matches = [name for name in names if _matches(name, path)]
        if not matches:
            raise ValueError(_no_such_module(path, pattern, names))
        found.update(dict.fromkeys(matches))
    return list(found)


def _expand_braces(pattern: str) -> Iterator[str]:
    match = _BRACES.search(pattern)
    if match is None:
        yield pattern
        return
    head, tail = pattern[: match.start()], pattern[match.end() :]
    for choice in _choices(match.group(1)):
        yield from _expand_braces(f'{head}{choice}{tail}')


def _choices(body: str) -> list[str]:
    limits = _RANGE.fullmatch(body.strip())
    if limits is None:
        return [part.strip() for part in body.split(',')]
    first, last = int(limits[1]), int(limits[2])
    step = 1 if first <= last else -1
    return [str(i) for i in range(first, last + step, step)]


def _matches(name: str, path: str) -> bool:
    parts, patterns = name.split('.'), path.split('.')
    same_depth = len(parts) == len(patterns)
    return same_depth and all(map(fnmatchcase, parts, patterns))


def _no_such_module(path: str, pattern: str, names: list[str]) -> str:
    near = get_close_matches(path, names, n=4, cutoff=0.5)
    parent = path.rpartition('.')[0]
    if not near:
        near = [n for n in names if n.rpartition('.')[0] == parent][:8]
    expanded = f' (from {pattern!r})' if path != pattern else ''
    hint = ', '.join(near) or ', '.join(n for n in names if '.' not in n)
    return (
        f'no module matches {path!r}{expanded}. Nearest names: {hint}. '
        'Names are those of model.named_modules().'
    )
