"""Token files: of this package, stage 1 checkpoints, official files."""

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
    """Content of a token file.

    Args:
        path: The file.
        modules: :class:`ReceptiveTokens`, one per level of the teacher.
        info: ``at`` and ``teacher``, written by stage 1; empty for official
            files.
    """

    path: str
    modules: nn.ModuleList
    info: dict[str, Any] = field(default_factory=dict)


def write_tokens(
    path: str, modules: nn.ModuleList, info: Mapping[str, Any]
) -> None:
    """Write a file that contains tokens only, under the official keys.

    Args:
        path: File to write; it appears once it is complete.
        modules: :class:`ReceptiveTokens`, one per level.
        info: Stored beside the tensors; plain types only.
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
    """Read a token file.

    Keys that end in ``mask_modules.<level>.mask_token`` and ``.prob.*`` are
    read: those of :func:`write_tokens`, of a checkpoint of
    ``MaskTokenLearner`` and of the official detection files. A file with the
    single key ``mask_token`` is the official segmentation form, of one level
    and without a weighting net.

    Args:
        path: File or address, anything MMEngine loads.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If it contains no tokens, or broken ones.
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
                f'{path}: {name} of level {level} contains inf or NaN. Stage '
                '1 went wrong; train the tokens again.'
            )
    num_tokens, channels = tokens.shape
    if num_tokens < 2:
        raise ValueError(
            f'{path}: level {level} has {num_tokens} token, expected at '
            'least 2: one token has no other to differ from.'
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
    """Check that tokens have the channels of a teacher's maps.

    Args:
        file: The tokens.
        channels: Channels of each level of the teacher.

    Raises:
        ValueError: If the number of levels or the channels of one differ.
    """
    actual = [module.channels for module in file.modules]
    if actual != list(channels):
        raise ValueError(
            f'{file.path} holds tokens for {len(actual)} levels of {actual} '
            f'channels, but what is recorded of the teacher has '
            f'{len(channels)} levels of {list(channels)}. Usual cause: '
            'tokens of another teacher, or learned at another place.'
        )


def check_same_shapes(
    own: nn.ModuleList, given: Mapping[str, Tensor], name: str
) -> None:
    """Check that a state dict has the shapes of a learner's tokens.

    Args:
        own: The learner's :class:`ReceptiveTokens`.
        given: State dict to check.
        name: Source of ``given``, for messages.

    Raises:
        ValueError: If keys or shapes differ.
    """
    expected = {
        key: tuple(value.shape) for key, value in own.state_dict().items()
    }
    actual = {key: tuple(value.shape) for key, value in given.items()}
    if actual == expected:
        return
    key = min(
        k for k in actual.keys() | expected if actual.get(k) != expected.get(k)
    )
    net = 'without' if own[0].prob is None else 'with'
    raise ValueError(
        f'{name} does not hold what this model learns, {own[0].num_tokens} '
        f'tokens a level {net} a weighting net: {key} is '
        f'{actual.get(key, "missing")}, expected {expected.get(key, "none")}. '
        'Set num_tokens and weighting as in its stage 1, or give another '
        'file.'
    )
