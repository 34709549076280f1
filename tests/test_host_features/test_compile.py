"""torch.compile of a student: recorders and losses break no graph."""

import pytest
import torch
from mmengine.registry import MODELS
from torch import _dynamo as dynamo

from ..helpers.batches import (
    detection_batch,
    segmentation_batch,
    step_losses,
    total,
)
from ..helpers.models import cwd, distiller, mask_rcnn, pspnet, save_weights

TERMS = {
    mask_rcnn: dict(
        neck=cwd('neck'),
        convs=cwd('neck.fpn_convs.*.conv'),
        c4=cwd(dict(path='backbone.layer3', clone=True)),
    ),
    pspnet: dict(
        logits=cwd('logits'),
        taken=cwd(dict(path='decode_head.conv_seg', take='input')),
        pixels=dict(
            at='logits', loss=dict(type='mmdistill_dense.PixelWiseLoss')
        ),
    ),
}


@pytest.fixture(autouse=True)
def _fresh():
    """What one test has compiled is not the next one's."""
    dynamo.reset()
    yield
    dynamo.reset()


@pytest.fixture
def built(tmp_path):
    """``built(build)``: a distilled model of two terms and more."""

    def make(build):
        path = save_weights(build(), tmp_path / 'teacher.pth')
        torch.manual_seed(0)
        model = distiller(
            build(), dict(cfg=build(), checkpoint=path), TERMS[build]
        )
        model.init_weights()
        return model.train()

    return make


def network(model, images):
    """What is compiled of a student: all that its terms record."""
    maps = model.extract_feat(images)
    return model.decode_head(maps) if hasattr(model, 'decode_head') else maps


@pytest.mark.parametrize('build', TERMS)
def test_recorders_that_are_on_break_no_graph(built, build):
    model, images = built(build), torch.randn(2, 3, 64, 64)
    stock = MODELS.build(build())
    for module in (stock, model):
        module.train()
    assert dynamo.explain(network)(stock, images).graph_break_count == 0
    with model.distill.recorders.recording(model.distill.terms):
        found = dynamo.explain(network)(model, images)
        levels = [
            len(model.distill.recorders[name].read())
            for name in model.distill.terms
        ]
    assert (found.graph_count, found.graph_break_count) == (1, 0)
    assert levels == ([5, 4, 1] if build is mask_rcnn else [1, 1, 1])


def test_recorders_that_are_off_break_no_graph(built):
    model, images = built(pspnet), torch.randn(2, 3, 64, 64)
    found = dynamo.explain(network)(model, images)
    assert (found.graph_count, found.graph_break_count) == (1, 0)


def test_a_compiled_backbone_and_neck_give_the_eager_losses(built):
    losses = []
    for compiles in (False, True):
        model = built(mask_rcnn)
        if compiles:
            model.backbone.compile(backend='aot_eager')
            model.neck.compile(backend='aot_eager')
        for seed in range(2):
            torch.manual_seed(seed)
            step = step_losses(model, detection_batch(1, (64, 64)))
        total(model, step).backward()
        gradient = model.backbone.layer2[0].conv1.weight.grad
        values = [step[f'loss_{name}'] for name in model.distill.terms]
        losses.append([torch.stack(values).detach(), gradient])
    for eager, compiled in zip(*losses, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-6)


# A segmentor, whose own loss needs these two to be one graph.
@dynamo.config.patch(
    capture_dynamic_output_shape_ops=True, capture_scalar_outputs=True
)
def test_a_whole_step_is_one_graph(built, monkeypatch):
    model, batch = built(pspnet), segmentation_batch()
    data = model.data_preprocessor(batch, True)

    def step():
        return model(**data, mode='loss')

    def results(function):
        model.zero_grad()
        torch.manual_seed(2)
        losses = function()
        total(model, losses).backward()
        gradient = model.backbone.layer1[0].conv1.weight.grad
        values = [losses[f'loss_{name}'] for name in model.distill.terms]
        return torch.stack(values).detach(), gradient.clone()

    # The first step looks for mistakes, and only it.
    results(step)
    monkeypatch.setattr(model.decode_head.dropout, 'p', 0)
    for bn in model.modules():
        if hasattr(bn, 'momentum'):
            bn.momentum = 0
    eager = results(step)
    compiled = results(
        torch.compile(step, backend='aot_eager', fullgraph=True)
    )
    for one, other in zip(eager, compiled, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-6)
