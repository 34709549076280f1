"""Mixed precision, as far as a CPU can do it.

MMEngine's AmpOptimWrapper refuses CPUs; where it runs here, its check of the
device and its GradScaler, which is CUDA's, are replaced.
"""

import pytest
import torch

from ..helpers.batches import (
    detection_batch,
    segmentation_batch,
    step_losses,
    total,
)
from ..helpers.models import STILL, cwd, distiller, pspnet
from ..helpers.runs import AtStart, KeepLosses, distilled, runner, snapshot
from ..test_models import zoo

HALF = [torch.bfloat16, torch.float16]


def check_step(model, batch, dtype):
    """One step under autocast, against the same step in float32."""
    expected = step_losses(model, batch)
    with torch.autocast('cpu', dtype=dtype):
        losses = step_losses(model, batch)
        loss = total(model, losses)
    loss.backward()
    kd_losses = {k: v for k, v in losses.items() if k.startswith('loss_kd')}
    assert kd_losses
    for name, value in kd_losses.items():
        assert value.dtype == torch.float32
        assert value.item() == pytest.approx(
            expected[name].item(), rel=0.05, abs=1e-3
        )
        assert value > 0
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.dtype == torch.float32
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
    connectors = model.distill.terms.parameters()
    assert all(p.grad.abs().max() > 0 for p in connectors)


@pytest.mark.parametrize('dtype', HALF)
def test_a_distilled_segmentor_steps_under_autocast(seg_teacher, dtype):
    norm = dict(type='mmdistill_dense.ConvConnector', norm_cfg=dict(type='BN'))
    terms = dict(
        kd_maps=cwd('backbone', connector=norm),
        kd_logits=cwd('logits', tau=4.0),
    )
    model = distiller(pspnet(**STILL), seg_teacher, terms)
    model.init_weights()
    # An initial classifier gives flat logits, which half precision loses.
    torch.nn.init.normal_(model.decode_head.conv_seg.weight)
    check_step(model, segmentation_batch(), dtype)


@pytest.mark.parametrize('dtype', HALF)
def test_a_distilled_detector_steps_under_autocast(det_teacher, dtype):
    model = distiller(zoo.retinanet(), det_teacher, dict(kd=cwd('neck')))
    model.init_weights()
    check_step(model, detection_batch(), dtype)


def test_a_scaled_half_precision_gradient_is_that_of_float32(seg_teacher):
    model = distiller(pspnet(), seg_teacher, dict(kd=cwd('backbone')))
    model.init_weights()

    def gradient(scale, enabled=True):
        torch.manual_seed(0)
        model.zero_grad()
        with torch.autocast('cpu', dtype=torch.float16, enabled=enabled):
            loss = step_losses(model, segmentation_batch())['loss_kd']
        (loss * scale).backward()
        weight = model.distill.terms.kd.connectors[3].block.conv.weight
        return weight.grad / scale

    exact = gradient(1.0, enabled=False)
    error = (gradient(2.0**12) - exact).norm() / exact.norm()
    assert exact.norm() > 0
    assert error < 0.02


def test_mmengine_refuses_its_amp_wrapper_on_a_cpu(
    data, seg_teacher, tmp_path
):
    if torch.cuda.is_available():
        pytest.skip('a GPU is there')
    run = runner(
        distilled(pspnet(), seg_teacher, dict(kd=cwd('backbone'))),
        data,
        tmp_path,
        iters=1,
        optim_wrapper=dict(
            type='AmpOptimWrapper', optimizer=dict(type='SGD', lr=0.01)
        ),
    )
    with pytest.raises(AssertionError, match='only available training'):
        run.train()


def test_a_run_with_the_amp_wrapper_trains_student_and_connectors(
    data, seg_teacher, tmp_path, amp_on_a_cpu
):
    if torch.cuda.is_available():
        pytest.skip('covered by a real run on the GPU')
    losses, start = KeepLosses(), AtStart()
    run = runner(
        distilled(pspnet(), seg_teacher, dict(kd=cwd('backbone'))),
        data,
        tmp_path,
        iters=3,
        save=3,
        hooks=[losses, start],
        optim_wrapper=dict(
            type='AmpOptimWrapper',
            dtype='bfloat16',
            loss_scale='dynamic',
            optimizer=dict(type='SGD', lr=0.01),
        ),
    )
    run.train()
    before, after = start.state, snapshot(run.model)
    for name in (
        'backbone.layer1.0.conv1.weight',
        'distill.terms.kd.connectors.0.block.conv.weight',
    ):
        assert after[name].dtype == torch.float32
        assert after[name].isfinite().all()
        assert not torch.equal(before[name], after[name])
    assert all(step['loss_kd'] > 0 for step in losses.steps)
    saved = torch.load(tmp_path / 'iter_3.pth', weights_only=True)
    assert saved['optimizer']['loss_scaler']['scale'] == 2.0**16
