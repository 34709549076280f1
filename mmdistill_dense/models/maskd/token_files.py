"""Files of receptive tokens: ours, stage 1 checkpoints, the official ones."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..utils import read_checkpoint
from .receptive_tokens import ReceptiveTokens

_KEY = re.compile(r'(?:^|\.)mask_modules\.(\d+)\.(mask_token|prob\..+)$')


@dataclass(frozen=True)
class TokenFile:
    """What a file of tokens holds.

    Args:
        path: The file.
        modules: :class:`ReceptiveTokens`, one per level of the teacher.
        info: What stage 1 said of them: ``at`` and ``teacher``; empty for
            official files.
    """

    path: str
    modules: nn.ModuleList
    info: dict[str, Any] = field(default_factory=dict)


def write_tokens(
    path: str, modules: nn.ModuleList, info: Mapping[str, Any]
) -> None:
    """Write a file that holds tokens only, under the official keys.

    Args:
        path: Its name; a file is there once it is whole.
        modules: :class:`ReceptiveTokens`, one per level.
        info: Said of them beside the tensors; plain types only.
    """
    state = {
        f'mask_modules.{key}': value.detach().cpu()
        for key, value in modules.state_dict().items()
    }
    os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
    unfinished = f'{path}.unfinished'
    torch.save(dict(state_dict=state, info=dict(info)), unfinished)
    os.replace(unfinished, path)


def read_tokens(path: str) -> TokenFile:
    """Read tokens.

    Keys that end in ``mask_modules.<level>.mask_token`` and ``.prob.*`` are
    taken: those of :func:`write_tokens`, of a checkpoint of
    ``MaskTokenLearner`` and of the official detection files. A file with the
    single key ``mask_token`` is the official segmentation form, of one level
    and without a weighting net.

    Args:
        path: File or address, anything MMEngine loads.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it holds no tokens, or broken ones.
    """
    content = read_checkpoint(
        path,
        'the token file',
        'Stage 1 makes it: run the stage 1 config, or tools/train_maskd.py '
        'with the stage 2 config, which does both.',
    )
    state = content['state_dict']
    levels = _group_by_level(path, state)
    if not levels or sorted(levels) != list(range(len(levels))):
        raise ValueError(
            f'{path} holds no receptive tokens: expected keys like '
            "'mask_modules.0.mask_token', counted from 0, or 'mask_token', "
            f'got {list(state)[:4]}.'
        )
    modules = [_build_module(path, k, levels[k]) for k in range(len(levels))]
    info = content.get('info')
    known = info if isinstance(info, Mapping) else {}
    return TokenFile(path, nn.ModuleList(modules), dict(known))


def _group_by_level(
    path: str, state: Mapping[str, Any]
) -> dict[int, dict[str, Tensor]]:
    """Floating point tensors by level and name."""
    levels: dict[int, dict[str, Tensor]] = {}
    for key, value in state.items():
        if not isinstance(value, Tensor) or not value.is_floating_point():
            continue
        match = _KEY.search('mask_modules.0.' * (key == 'mask_token') + key)
        if match is None:
            continue
        level = levels.setdefault(int(match[1]), {})
        if match[2] in level:
            raise ValueError(
                f'{path} holds several sets of tokens: {key} is the second '
                'of its level. Save one set alone.'
            )
        level[match[2]] = value
    return levels


def _build_module(
    path: str, level: int, state: dict[str, Tensor]
) -> nn.Module:
    tokens = state.get('mask_token')
    if not isinstance(tokens, Tensor) or tokens.ndim != 2:
        got = 'none' if tokens is None else f'shape {tuple(tokens.shape)}'
        raise ValueError(
            f'{path}: level {level} needs a mask_token of shape (tokens, '
            f'channels), got {got}.'
        )
    for name, value in state.items():
        if not torch.isfinite(value).all():
            raise ValueError(
                f'{path}: {name} of level {level} holds inf or NaN. Stage 1 '
                'went wrong; train the tokens again.'
            )
    num_tokens, channels = tokens.shape
    if num_tokens < 2:
        raise ValueError(
            f'{path}: level {level} has {num_tokens} token, expected at '
            'least 2: with one there is nothing to tell apart.'
        )
    module = ReceptiveTokens(channels, num_tokens, weighting=len(state) > 1)
    try:
        module.to(tokens.dtype).load_state_dict(state)
    except RuntimeError as error:
        reason = ' '.join(str(error).split())  # torch's has line breaks
        raise ValueError(
            f'{path}: the weighting net of level {level} does not belong to '
            f'{num_tokens} tokens on {channels} channels: {reason}'
        ) from error
    return module


def check_channels(file: TokenFile, channels: Sequence[int]) -> None:
    """Check that tokens belong to maps of a teacher.

    Args:
        file: The tokens.
        channels: Of each level that the teacher's map has.

    Raises:
        ValueError: If the number of levels or the channels of one differ.
    """
    found = [module.channels for module in file.modules]
    if found != list(channels):
        raise ValueError(
            f'{file.path} holds tokens for {len(found)} levels of {found} '
            f'channels, but what is recorded of the teacher has '
            f'{len(channels)} levels of {list(channels)}. Usual cause: '
            'tokens of another teacher, or learned at another place.'
        )


def check_same_shapes(
    own: nn.ModuleList, given: Mapping[str, Tensor], name: str
) -> None:
    """Check that tokens are as many, and weighted as, a learner's.

    Args:
        own: The learner's :class:`ReceptiveTokens`.
        given: State dict of others.
        name: Where these come from, for messages.

    Raises:
        ValueError: If they are not.
    """
    wanted = {
        key: tuple(value.shape) for key, value in own.state_dict().items()
    }
    found = {key: tuple(value.shape) for key, value in given.items()}
    if found == wanted:
        return
    key = min(
        k for k in found.keys() | wanted if found.get(k) != wanted.get(k)
    )
    net = 'without' if own[0].prob is None else 'with'
    raise ValueError(
        f'{name} does not hold what this model learns, {own[0].num_tokens} '
        f'tokens a level {net} a weighting net: {key} is '
        f'{found.get(key, "missing")}, expected {wanted.get(key, "none")}. '
        'Set num_tokens and weighting as in its stage 1, or give another '
        'file.'
    )
