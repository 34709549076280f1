"""A small PixelContrastDistiller and its teacher's file."""

from copy import deepcopy

import torch
from mmengine.config import ConfigDict
from torch.nn.functional import cross_entropy, normalize

from mmdistill_dense.models.encoders.layouts import layout_of
from mmdistill_dense.models.pcd.heads import build_head
from mmdistill_dense.models.pcd.maps import map_spec
from mmdistill_dense.registry import MODELS

from .pretraining import SIZE

#: Maps of 4x4 cells of views of 64x64 pixels, 32 channels.
STUDENT = dict(
    type='mmdet.ResNet',
    depth=18,
    base_channels=4,
    strides=(1, 2, 2, 1),
    out_indices=(3,),
    # Else half of the convolutions have gradients of exactly 0 at first.
    zero_init_residual=False,
    norm_eval=False,
)
TEACHER = dict(STUDENT, base_channels=8)
WIDTHS = (24, 16)
PREPROCESSOR = dict(
    type='mmdistill_dense.MultiViewPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
)


def encoder_file(path, backbone=TEACHER, widths=WIDTHS, seed=1):
    """Settings of a teacher with a head, whose file is written."""
    head = dict(widths=list(widths))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        body = MODELS.build(deepcopy(backbone))
        body.init_weights()
        channels = map_spec(body, SIZE).channels
        layers = build_head(head, layout_of('openmmlab'), channels, False)
        for module in (*body.modules(), *layers.modules()):
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 1.5)
    state = {f'backbone.{k}': v for k, v in body.state_dict().items()}
    state |= {f'head.{k}': v for k, v in layers.state_dict().items()}
    torch.save(dict(state_dict=state), path)
    return dict(backbone=dict(backbone), head=head, checkpoint=str(path))


def pcd(teacher, **settings):
    """Model config of a small run; ``teacher`` from :func:`encoder_file`."""
    cfg = dict(
        type='mmdistill_dense.PixelContrastDistiller',
        data_preprocessor=PREPROCESSOR,
        backbone=STUDENT,
        teacher=teacher,
        attention=dict(type='mmdistill_dense.PixelAttention', num_heads=4),
        queue_size=32,
        input_size=SIZE,
    )
    return deepcopy(cfg | settings)


def build(cfg):
    """A model that has been initialised, its teacher loaded."""
    model = MODELS.build(ConfigDict(cfg))
    model.init_weights()
    return model


def contrast(student, teacher, queue, tau=0.2):
    """The loss by torch's own cross-entropy, all logits at once."""
    s, t = (
        normalize(m, dim=1).permute(0, 2, 3, 1).flatten(0, 2)
        for m in (student, teacher)
    )
    logits = torch.cat([(s * t).sum(1, keepdim=True), s @ queue], dim=1)
    return cross_entropy(logits / tau, logits.new_zeros(len(s)).long())
