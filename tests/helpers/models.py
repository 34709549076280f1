"""Stock models made small: depth, levels and head types stay as they are."""

import re
from copy import deepcopy
from functools import cache

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import MODELS, DefaultScope

from mmdistill_dense.compat import config_path

MASK_RCNN = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'
RETINANET = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
FCOS = 'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'
PSPNET = 'mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py'
#: A PSPNet in which nothing is random, so that runs can be compared.
STILL = {
    'decode_head.dropout_ratio': 0.0,
    'auxiliary_head.dropout_ratio': 0.0,
}
CHANNELS = {
    'in_channels',
    'out_channels',
    'feat_channels',
    'channels',
    'fc_out_channels',
    'conv_out_channels',
}


def shrink(node, factor=8):
    """Divide every width of a model config and drop pretrained weights."""
    if isinstance(node, (list, tuple)):
        return [shrink(item, factor) for item in node]
    if not isinstance(node, dict):
        return node
    small = {k: shrink(v, factor) for k, v in node.items()}
    for key in CHANNELS & small.keys():
        small[key] = _divide(small[key], factor)
    small.pop('init_cfg', None)
    small.pop('pretrained', None)
    if small.get('type') == 'SyncBN':
        small['type'] = 'BN'
    if str(small.get('type', '')).startswith('ResNe'):
        for key in ('base_channels', 'stem_channels'):
            small[key] = node.get(key, 64) // factor
        if 'groups' in small:
            small.update(groups=8, base_width=4)
    if small.get('type') == 'CSPNeXt':
        small['widen_factor'] /= factor
    return small


def _divide(channels, factor):
    if isinstance(channels, list):
        return [c // factor for c in channels]
    return channels // factor


@cache
def _read(name):
    return Config.fromfile(config_path(name))


def stock(name, **options):
    """Model config of a stock config, shrunken, with options merged in."""
    cfg = deepcopy(_read(name))
    if options:
        cfg.merge_from_dict({f'model.{k}': v for k, v in options.items()})
    model = shrink(cfg.model.to_dict())
    model['_scope_'] = cfg.default_scope
    return ConfigDict(model)


def mask_rcnn(depth=18, **options):
    """Mask R-CNN of ResNet-18 or -50 with three classes."""
    return stock(
        MASK_RCNN,
        **{
            'backbone.depth': depth,
            'neck.in_channels': _stages(depth),
            'roi_head.bbox_head.num_classes': 3,
            'roi_head.mask_head.num_classes': 3,
            **options,
        },
    )


def wide_mask_rcnn(**options):
    """A Mask R-CNN whose neck has 48 channels, the student's 32."""
    widths = ['neck.out_channels', 'rpn_head.in_channels']
    for kind in ('bbox', 'mask'):
        widths.append(f'roi_head.{kind}_roi_extractor.out_channels')
        widths.append(f'roi_head.{kind}_head.in_channels')
    return mask_rcnn(**{**dict.fromkeys(widths, 384), **options})


def pspnet(depth=18, classes=4, **options):
    """PSPNet of ResNet-18 or -50."""
    last = _stages(depth)
    return stock(
        PSPNET,
        **{
            'backbone.depth': depth,
            'data_preprocessor.size': (64, 64),
            'decode_head.in_channels': last[3],
            'auxiliary_head.in_channels': last[2],
            'decode_head.num_classes': classes,
            'auxiliary_head.num_classes': classes,
            **options,
        },
    )


def _stages(depth):
    return [(64 if depth < 50 else 256) * 2**i for i in range(4)]


def save_weights(cfg, path, seed=1, scope='mmdet', head=1):
    """Write the checkpoint of a randomly initialised model.

    The weights of a dense head are multiplied by ``head``: an untrained one
    of four convolutions gives next to nothing.
    """
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope(cfg.get('_scope_', scope)):
        model = MODELS.build(ConfigDict(deepcopy(cfg)))
        model.init_weights()
    state = model.state_dict()
    for key in state:
        if head != 1 and re.match(r'bbox_head\..*(conv|cls|reg)\.weight', key):
            state[key] *= head
    torch.save(dict(state_dict=state), path)
    return str(path)


def cwd(at='neck', weight=1.0, tau=1.0, **settings):
    """A CWD term."""
    loss = dict(
        type='mmdistill_dense.ChannelWiseLoss', tau=tau, loss_weight=weight
    )
    return dict(at=at, loss=loss, **settings)


def distiller(student, teacher=None, terms=None, **settings):
    """Build a DenseDistiller as a Runner would, to look at small images."""
    cfg = dict(
        type='mmdistill_dense.DenseDistiller',
        student=deepcopy(student),
        teacher=teacher,
        terms=terms,
        **{'input_size': (64, 64), **settings},
    )
    return MODELS.build(ConfigDict(cfg))
