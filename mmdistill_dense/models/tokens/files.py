"""Files of receptive tokens: ours, stage 1 checkpoints, the official ones."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..hosts import read_checkpoint
from .receptive import ReceptiveTokens

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
    levels = _levels(state)
    if not levels or sorted(levels) != list(range(len(levels))):
        raise ValueError(
            f'{path} holds no receptive tokens: expected keys like '
            "'mask_modules.0.mask_token', counted from 0, or 'mask_token', "
            f'got {list(state)[:4]}.'
        )
    modules = [_module(path, k, levels[k]) for k in range(len(levels))]
    return TokenFile(path, nn.ModuleList(modules), content.get('info', {}))


def _levels(state: Mapping[str, Any]) -> dict[int, dict[str, Tensor]]:
    """Tensors by level and name."""
    levels: dict[int, dict[str, Tensor]] = {}
    for key, value in state.items():
        match = _KEY.search(key)
        if match is not None:
            levels.setdefault(int(match[1]), {})[match[2]] = value
    if not levels and 'mask_token' in state:
        return {0: {'mask_token': state['mask_token']}}
    return levels


def _module(path: str, level: int, state: dict[str, Tensor]) -> nn.Module:
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


def check_fit(file: TokenFile, channels: Sequence[int]) -> None:
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
