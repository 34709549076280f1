"""The models of a shipped config, made ready for one machine without weights.

What differs from the config: no pretrained weights are fetched, SyncBN is BN,
a segmentor's crops have the size asked for, and the teacher's checkpoint is
one of random weights. A quick run makes the widths smaller, too.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmdistill_dense.compat import own_config
from mmdistill_dense.models.utils import build_model, resolve_config
from mmdistill_tools.cpu import replace_sync_bn

Size = tuple[int, int]
_SMALL = {'backbone.base_channels': 8, 'backbone.stem_channels': 8}


@dataclass(frozen=True)
class Pair:
    """A student and a teacher, as a shipped config has them.

    Attributes:
        config: Below ``configs/``.
        levels: Maps that are compared; 0: one tensor, the logits.
        source: Name of the module that is recorded, in both.
        sizes: By device, images and their height and width in pixels;
            ``quick`` is one of them.
        narrow: Keys of channel counts that a quick run divides by 8.
        quick: What it sets beside.
    """

    config: str
    levels: int
    source: str
    sizes: dict[str, tuple[int, Size]]
    narrow: tuple[str, ...]
    quick: dict[str, Any] = field(default_factory=dict)


PAIRS = {
    'mask-rcnn': Pair(
        'cwd/cwd_neck_mask-rcnn_r101_mask-rcnn_r50_fpn_1x_coco.py',
        5,
        'neck',
        {
            'cpu': (1, (320, 320)),
            'cuda': (2, (800, 1344)),
            'quick': (1, (96, 128)),
        },
        ('neck.in_channels',),
        {
            'roi_head.bbox_head.fc_out_channels': 32,
            'roi_head.mask_head.conv_out_channels': 16,
            'train_cfg.rcnn.sampler.num': 32,
            'train_cfg.rpn_proposal.nms_pre': 100,
            'train_cfg.rpn_proposal.max_per_img': 50,
        },
    ),
    'pspnet': Pair(
        'cwd/cwd_logits-openmmlab_pspnet_r101-d8_pspnet_r18-d8_4xb2-80k_'
        'cityscapes-512x1024.py',
        0,
        'decode_head.conv_seg',
        {
            'cpu': (2, (256, 512)),
            'cuda': (2, (512, 1024)),
            'quick': (2, (64, 64)),
        },
        (
            'decode_head.in_channels',
            'decode_head.channels',
            'auxiliary_head.in_channels',
            'auxiliary_head.channels',
        ),
    ),
}


@dataclass
class Setup:
    """What all contenders of a pair are made from.

    Attributes:
        pair: Where it is from.
        scope: ``default_scope`` of the host.
        model: Config of the distilled model.
        optimizer: Config of the optimizer, of learning rate 0.
        student: State dict that every student starts with.
        checkpoint: File of the teacher's weights.
    """

    pair: Pair
    scope: str
    model: dict
    optimizer: dict
    student: dict[str, Tensor]
    checkpoint: Path

    def stock_student(self) -> nn.Module:
        """A stock student with the weights that all start with."""
        return self._loaded(self.model['student'])

    def stock_teacher(self) -> nn.Module:
        """A stock teacher with its checkpoint."""
        model = self.build(self.model['teacher']['cfg']['model'])
        saved = torch.load(self.checkpoint, weights_only=True)
        model.load_state_dict(saved['state_dict'])
        return model

    def distilled(self, switches: dict[str, Any]) -> nn.Module:
        """The shipped distilled model, its teacher with switches."""
        model = {**self.model}
        model['teacher'] = {**model['teacher'], **switches}
        return self._loaded(model)

    def _loaded(self, cfg: dict) -> nn.Module:
        model = self.build(cfg)
        model.load_state_dict(self.student)
        return model

    def build(self, cfg: dict) -> nn.Module:
        """A model under the host's scope."""
        return build_model(
            Config(dict(model=deepcopy(cfg), default_scope=self.scope))
        )


def prepare(
    name: str, size: Size, folder: Path, seed: int, quick: bool
) -> Setup:
    """Read a pair's config and draw its weights.

    Args:
        name: One of :data:`PAIRS`.
        size: Height and width of the images, in pixels.
        folder: Gets the teacher's checkpoint.
        seed: Of the weights.
        quick: Whether to make the models small.
    """
    pair = PAIRS[name]
    cfg = Config.fromfile(own_config(pair.config))
    model = cfg.model.to_dict()
    teacher = resolve_config(model['teacher']['cfg'], None)
    student, other = model['student'], teacher.model.to_dict()
    for side in (student, other):
        _fit(side, size, pair if quick else None)
    checkpoint = folder / f'{name}_teacher.pth'
    resolved = dict(model=other, default_scope=teacher.default_scope)
    model['teacher'].update(cfg=resolved, checkpoint=str(checkpoint))
    optimizer = {**cfg.optim_wrapper.optimizer.to_dict(), 'lr': 0.0}
    setup = Setup(pair, cfg.default_scope, model, optimizer, {}, checkpoint)
    setup.student = _drawn(setup, student, seed)
    weights = _drawn(setup, other, seed + 1)
    torch.save(dict(state_dict=weights), checkpoint)
    return setup


def _drawn(setup: Setup, cfg: dict, seed: int) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    model = setup.build(cfg)
    model.init_weights()
    return {key: value.clone() for key, value in model.state_dict().items()}


def _fit(model: dict, size: Size, quick: Pair | None) -> None:
    _drop_pretrained(model)
    replace_sync_bn(model)
    if model['data_preprocessor'].get('size'):
        model['data_preprocessor']['size'] = size
    if quick:
        for key in quick.narrow:
            _set(model, key, lambda old: _divided(old, 8))
        for key, value in {**_SMALL, **quick.quick}.items():
            _set(model, key, lambda _, value=value: value)


def _drop_pretrained(node: object) -> None:
    """Take out every mention of a file of weights."""
    if isinstance(node, dict):
        if (node.get('init_cfg') or {}).get('type') == 'Pretrained':
            del node['init_cfg']
        if 'pretrained' in node:
            node['pretrained'] = None
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            _drop_pretrained(child)


def _set(model: dict, path: str, change: Any) -> None:
    *parts, last = path.split('.')
    for part in parts:
        model = model[part]
    model[last] = change(model.get(last))


def _divided(channels: Any, factor: int) -> Any:
    if isinstance(channels, (list, tuple)):
        return [count // factor for count in channels]
    return channels // factor
