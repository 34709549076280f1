"""Formats a distillation config as readable Python code."""

import os.path as osp
import re
from textwrap import fill

from mmdistill_dense.compat import config_path

_WIDTH = 79


def config_text(
    title: str,
    base: str,
    model: dict,
    note: str,
    hooks: bool,
) -> str:
    """Text of a config that contains only the changes to the student's.

    Args:
        title: First line, a comment.
        base: Value of ``_base_``.
        model: Its ``teacher``, ``terms`` and further settings.
        note: Comment on the terms.
        hooks: Whether the base has ``custom_hooks``, which are kept.
    """
    entries = dict(
        _delete_=True,
        type='mmdistill_dense.DenseDistiller',
        student=RawCode('_base_.model'),
    )
    balance = dict(type='mmdistill_dense.TermBalanceHook', interval=50)
    kept = [RawCode('*_base_.custom_hooks')] if hooks else []
    parts = [
        _comment(title),
        f'_base_ = {format_code([base])}',
        _comment(note),
        f'model = {format_code({**entries, **model})}',
        _comment("Logs each term's share of the loss and its gradient."),
        f'custom_hooks = {format_code([*kept, balance])}',
    ]
    text = '\n'.join(parts) + '\n'
    # Training does not start without a checkpoint.
    remark = r'\1  # set a file or an address\n'
    return re.sub(r'(checkpoint=None\)?,)\n', remark, text)


def _comment(text: str) -> str:
    return fill(text, _WIDTH, initial_indent='# ', subsequent_indent='# ')


class RawCode(str):
    """Code that is written unchanged."""

    __slots__ = ()


def format_code(value: object, indent: int = 0) -> str:
    """Python code of nested dicts and lists, with lines of limited length."""
    if isinstance(value, RawCode):
        return str(value)
    if isinstance(value, dict):
        opening, closing = 'dict(', ')'
        items = [(f'{key}=', item) for key, item in value.items()]
    elif isinstance(value, list):
        opening, closing = '[', ']'
        items = [('', item) for item in value]
    else:
        return repr(value)
    inside = [key + format_code(item) for key, item in items]
    line = f'{opening}{", ".join(inside)}{closing}'
    # A dict that contains a dict is written with one entry per line.
    nested = isinstance(value, dict) and 'dict(' in ''.join(inside)
    if not nested and indent + len(line) + 10 <= _WIDTH:
        return line
    pad = ' ' * (indent + 4)
    body = [
        f'{pad}{key}{format_code(item, indent + 4)},' for key, item in items
    ]
    return '\n'.join([opening, *body, ' ' * indent + closing])


def packed_code(settings: dict, indent: int) -> RawCode:
    """Code of a nested dict in as few lines as fit.

    Args:
        settings: The dict.
        indent: Columns before its first line.
    """
    lines, line = [], ''
    for piece in _pieces(settings):
        pad = indent + (4 if lines else len('teacher='))
        if line and pad + len(line) + 1 + len(piece) > _WIDTH:
            lines.append(line)
            line = piece
        else:
            line = f'{line} {piece}' if line else piece
    return RawCode(('\n' + ' ' * (indent + 4)).join([*lines, line]))


def _pieces(value: object) -> list[str]:
    """Code in parts between which a line may end."""
    if not (isinstance(value, dict) and value):
        return [repr(value)]
    parts: list[str] = []
    for key, item in value.items():
        first, *rest = _pieces(item)
        parts += [f'{key}={first}', *rest]
        parts[-1] += ','
    parts[0] = f'dict({parts[0]}'
    parts[-1] = f'{parts[-1][:-1]})'
    return parts


def base_reference(name: str, folder: str) -> str:
    """Name of a config for ``_base_`` of a file in ``folder``.

    Stock scripts resolve ``mmdet::`` and ``mmseg::`` but not
    ``mmdistill_dense::``, so a config of this package is named by its path.
    """
    if '::' in name and not name.startswith('mmdistill_dense::'):
        return name
    return osp.relpath(config_path(name), folder)


def file_reference(name: str, folder: str) -> str:
    """Name of a file for a config in ``folder``, for any working directory.

    Names with a package and addresses are kept. For a path MMEngine inserts
    the folder of the config.
    """
    if ':' in name:
        return name
    return '{{ fileDirname }}/' + osp.relpath(osp.expanduser(name), folder)
