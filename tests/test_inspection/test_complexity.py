"""Parameters and FLOPs, against figures derived by hand."""

import pytest
import torch
from mmengine.config import Config
from torch import nn
from torch.nn import functional as F

from mmdistill_dense.inspection.complexity import (
    complexity,
    model_complexity,
    parameter_count,
)
from mmdistill_dense.models.utils import build_model

from ..helpers.models import cwd, distiller, mask_rcnn, pspnet
from ..test_models.zoo import deformable_detr

SIZE = (64, 96)


class Toy(nn.Module):
    """A detector as far as the counter is concerned."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Conv2d(3, 8, 3, padding=1)
        self.neck = nn.Conv2d(8, 4, 1)

    def extract_feat(self, inputs):
        return self.neck(self.backbone(inputs))

    def forward(self, inputs, samples, mode):
        return self.extract_feat(inputs)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.MultiheadAttention(64, 4, batch_first=True)


def stock(cfg):
    return build_model(
        Config(dict(default_scope=cfg['_scope_'], model=cfg.to_dict()))
    )


def test_two_operations_per_multiply_add():
    found = model_complexity(Toy(), (16, 8))
    # 2 * in * out * kernel * positions
    backbone, neck = 2 * 3 * 8 * 9 * 128, 2 * 8 * 4 * 128
    assert found.flops == backbone + neck
    assert found.parts == dict(backbone=backbone, neck=neck)
    assert found.calls == dict(backbone=1, neck=1)
    assert found.parameters == 3 * 8 * 9 + 8 + 8 * 4 + 4


def test_fused_attention_is_counted():
    model = Attention()
    x = torch.zeros(2, 100, 64)
    heads = torch.zeros(2, 4, 100, 16)
    scores = 2 * (2 * 4 * 100 * 100 * 16) * 2  # q.k and weights.v
    projections = 4 * 2 * (2 * 100 * 64 * 64)

    def layer(images, samples):
        y = images.new_zeros(x.shape)
        return model.encoder(y, y, y)

    def function(images, samples):
        y = images.new_zeros(heads.shape)
        return F.scaled_dot_product_attention(y, y, y)

    whole = complexity(model, layer, (8, 8))
    assert whole.flops == scores + projections
    # Its projection out is never called as a module.
    assert whole.calls == dict(encoder=1)
    assert complexity(model, function, (8, 8)).flops == scores


def test_a_segmentor_is_counted_without_its_auxiliary_head():
    model = stock(pspnet())
    found = model_complexity(model, SIZE)
    assert set(found.parts) == {'backbone', 'decode_head'}
    assert sum(found.parts.values()) == found.flops
    assert found.parameters == sum(p.numel() for p in model.parameters())


def test_a_model_that_reads_its_data_is_really_run():
    # Proposals are data: without it the counter could not go on.
    found = model_complexity(stock(mask_rcnn()), SIZE)
    assert found.parts['roi_head'] > found.parts['rpn_head'] > 0


def test_a_transformer_on_views_of_its_parameters_is_counted():
    # Queries are split from an embedding, which torch's counter trips over.
    found = model_complexity(stock(deformable_detr()), SIZE)
    assert found.parts['decoder'] > 0
    assert found.parts['reference_points_fc'] == 2 * 10 * 32 * 2


def test_the_model_stays_as_it_was():
    model = stock(pspnet()).train()
    model.backbone.eval()
    model.backbone.layer1.requires_grad_(False)
    fused = torch.backends.mha.get_fastpath_enabled()

    def state():
        flags = [m.training for m in model.modules()]
        grads = [p.requires_grad for p in model.parameters()]
        hooks = [
            len(m._forward_hooks) + len(m._forward_pre_hooks)
            for m in model.modules()
        ]
        return flags, grads, hooks, torch.backends.mha.get_fastpath_enabled()

    before = state()
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    model_complexity(model, SIZE)
    assert state() == before
    assert before[3] == fused
    for key, value in model.state_dict().items():
        assert type(value) is torch.Tensor
        assert torch.equal(value, weights[key])


def test_of_a_distilled_model_the_student_is_counted():
    plain = model_complexity(stock(pspnet()), SIZE)
    model = distiller(
        pspnet(),
        dict(cfg=pspnet(depth=50)),
        dict(kd=cwd('backbone')),
    )
    assert parameter_count(model.distill) > 0  # connectors
    assert model_complexity(model, SIZE) == plain


@pytest.mark.parametrize(
    ('at', 'neck'), [('neck.fpn_convs.0.conv', 5), ('backbone', 0)]
)
def test_what_runs_before_the_pass_is_left_is_counted(at, neck):
    model = distiller(mask_rcnn(), dict(cfg=mask_rcnn()), dict(kd=cwd(at)))
    teacher, run = model.distill.teachers['teacher'].build_model_and_run()
    brief = complexity(teacher, run, SIZE)
    assert brief.calls.get('neck', 0) == neck  # four laterals and one more
    assert (brief.parts.get('neck', 0) > 0) == bool(neck)
    assert brief.flops == sum(brief.parts.values())
    assert set(brief.parts) <= {'backbone', 'neck'}
