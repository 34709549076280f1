"""Writing a distillation config as a person would."""

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
    """The text of a config that says only what differs from the student's.

    Args:
        title: First line, a comment.
        base: What stands in ``_base_``.
        model: Its ``teacher``, ``terms`` and further settings.
        note: A comment on the terms.
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
    # Training refuses to start without one.
    remark = r'\1  # set a file or an address\n'
    return re.sub(r'(checkpoint=None\)?,)\n', remark, text)


def _comment(text: str) -> str:
    return fill(text, _WIDTH, initial_indent='# ', subsequent_indent='# ')


class RawCode(str):
    """Code that is written as it is."""

    __slots__ = ()


def format_code(value: object, indent: int = 0) -> str:
    """Python code of nested dicts and lists, broken where it is too long."""
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
    # A dict with a dict in it stands one entry a line.
    nested = isinstance(value, dict) and 'dict(' in ''.join(inside)
    if not nested and indent + len(line) + 10 <= _WIDTH:
        return line
    pad = ' ' * (indent + 4)
    body = [
        f'{pad}{key}{format_code(item, indent + 4)},' for key, item in items
    ]
    return '\n'.join([opening, *body, ' ' * indent + closing])


def base_reference(name: str, folder: str) -> str:
    """How ``_base_`` of a file in ``folder`` names a config.

    Stock scripts resolve ``mmdet::`` and ``mmseg::``, but not our own
    scope, so a config of ours gets its path.
    """
    if '::' in name and not name.startswith('mmdistill_dense::'):
        return name
    return osp.relpath(config_path(name), folder)


def file_reference(name: str, folder: str) -> str:
    """How a config in ``folder`` names a file, wherever training starts.

    Names of packages and addresses stay; of a path MMEngine fills in the
    folder of the config.
    """
    if ':' in name:
        return name
    return '{{ fileDirname }}/' + osp.relpath(osp.expanduser(name), folder)
