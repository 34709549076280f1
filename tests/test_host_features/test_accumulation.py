"""Gradient accumulation: two small batches make one step."""

from copy import deepcopy

import torch
from mmengine.hooks import Hook

from ..helpers.models import STILL, cwd, pspnet
from ..helpers.runs import differing, distilled, runner, snapshot

LR = 0.05


class KeepBatches(Hook):
    """The model before the first step, and every batch."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.batches = []

    def before_train_iter(self, runner, batch_idx, data_batch):
        if not self.batches:
            self.model = deepcopy(runner.model)
        self.batches.append(deepcopy(data_batch))


def test_two_accumulated_batches_are_one_step_on_their_mean(
    data, seg_teacher, tmp_path
):
    terms = dict(kd=cwd('backbone', weight=3.0))
    kept = KeepBatches()
    run = runner(
        distilled(pspnet(**STILL), seg_teacher, terms),
        data,
        tmp_path,
        iters=2,
        hooks=[kept],
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=dict(type='SGD', lr=LR),
            accumulative_counts=2,
        ),
    )
    run.train()
    by_hand = kept.model.train()
    first = snapshot(by_hand)
    for batch in kept.batches:
        inputs = by_hand.data_preprocessor(batch, True)
        loss, _ = by_hand.parse_losses(by_hand(**inputs, mode='loss'))
        (loss / 2).backward()
    with torch.no_grad():
        for parameter in by_hand.parameters():
            parameter -= LR * parameter.grad
    assert len(kept.batches) == 2
    after = snapshot(run.model)
    assert 'backbone.stem.0.weight' in differing(first, after)
    for name, value in snapshot(by_hand).items():
        torch.testing.assert_close(after[name], value, rtol=1e-5, atol=1e-7)
