"""EMAHook: swaps weights for validation, and holds no second teacher."""

import pytest
import torch
from mmengine.hooks import EMAHook, Hook

from ..helpers.models import cwd, pspnet
from ..helpers.runs import differing, distilled, runner, snapshot

EMA = dict(type='EMAHook', momentum=0.3)


class Watch(Hook):
    """Looks at all tensors, teacher included, around each validation."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.before, self.during, self.after = [], [], []

    def before_val(self, runner):
        self.before.append(everything(runner.model))

    def before_val_iter(self, runner, batch_idx, data_batch):
        if batch_idx == 0:
            self.during.append(everything(runner.model))

    def after_val(self, runner):
        self.after.append(everything(runner.model))


def everything(model):
    """Parameters and buffers, those that no checkpoint holds included."""
    tensors = dict(model.named_parameters()) | dict(model.named_buffers())
    teacher = model.distill.teachers['teacher'].model
    tensors |= {f'teacher.{k}': v for k, v in teacher.named_buffers()}
    return {k: v.detach().clone() for k, v in tensors.items()}


def ema_of(run):
    return next(hook for hook in run.hooks if isinstance(hook, EMAHook))


@pytest.fixture
def model(seg_teacher):
    terms = dict(kd=cwd('backbone', weight=5.0))
    return distilled(pspnet(), seg_teacher, terms)


@pytest.mark.parametrize('update_buffers', [False, True])
def test_weights_are_the_same_before_and_after_each_validation(
    model, data, tmp_path, update_buffers
):
    watch = Watch()
    run = runner(
        model,
        data,
        tmp_path,
        iters=4,
        val=True,
        custom_hooks=[dict(EMA, update_buffers=update_buffers)],
        hooks=[watch],
        train_cfg=dict(type='IterBasedTrainLoop', max_iters=4, val_interval=2),
    )
    run.train()
    assert len(watch.before) == len(watch.after) == 2
    for before, during, after in zip(
        watch.before, watch.during, watch.after, strict=True
    ):
        assert not differing(before, after)
        swapped = differing(before, during)
        assert 'backbone.layer4.1.conv2.weight' in swapped
        assert 'distill.terms.kd.connectors.0.block.conv.weight' in swapped
        assert not [k for k in swapped if k.startswith('teacher.')]
    teachers = [k for k in before if k.startswith('teacher.')]
    assert len(teachers) > 100
    assert differing(watch.before[0], watch.before[1])


def test_the_averaged_copy_holds_no_second_teacher(model, data, tmp_path):
    run = runner(model, data, tmp_path, iters=2, custom_hooks=[EMA])
    run.train()
    copy = ema_of(run).ema_model.module
    assert copy is not run.model
    assert type(copy) is type(run.model)
    assert run.model.distill.teachers['teacher'].loaded
    # It was made before the teacher was loaded, and never needs one.
    assert not copy.distill.teachers['teacher'].loaded


def test_the_checkpoint_holds_averages_and_no_teacher(model, data, tmp_path):
    run = runner(
        model,
        data,
        tmp_path,
        iters=3,
        custom_hooks=[EMA],
        save=3,
    )
    run.train()
    saved = torch.load(tmp_path / 'iter_3.pth', weights_only=True)
    averages, current = saved['state_dict'], saved['ema_state_dict']
    current.pop('steps')
    current = {k.removeprefix('module.'): v for k, v in current.items()}
    # MMEngine stores the averages under 'state_dict', for deployment.
    assert not differing(averages, snapshot(ema_of(run).ema_model.module))
    assert not differing(current, snapshot(run.model))
    assert differing(averages, current)
    added = [k for k in averages if k.startswith('distill.')]
    assert len(added) == 8
    assert all('.connectors.' in key for key in added)


def test_a_run_with_averages_resumes(model, data, tmp_path):
    def run_to(iters, **settings):
        run = runner(
            model,
            data,
            tmp_path,
            iters=iters,
            custom_hooks=[EMA],
            save=2,
            **settings,
        )
        run.train()
        return run

    first = run_to(2)
    again = run_to(2, load_from=str(tmp_path / 'iter_2.pth'), resume=True)
    assert again.iter == 2
    assert not differing(snapshot(first.model), snapshot(again.model))
    kept, resumed = (snapshot(ema_of(r).ema_model) for r in (first, again))
    assert not differing(kept, resumed)
    assert kept['steps'] == 2
