"""TermBalanceHook: shares and gradient norms in a real run."""

import json
import re
from pathlib import Path

import pytest
import torch
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch.utils.checkpoint import checkpoint

from mmdistill_dense.hooks import TermBalanceHook, term_balance_hook
from mmdistill_dense.models.distillers.balance import Balance, BalanceMeter

from ..helpers.batches import segmentation_batch, step_losses
from ..helpers.log import heard
from ..helpers.models import cwd, distiller, mask_rcnn, pspnet
from ..helpers.runs import KeepLosses, differing, distilled, runner, snapshot

HOOK = dict(type='mmdistill_dense.TermBalanceHook', interval=2)


def scalars_of(run):
    """What the local visualization backend has written of the hook."""
    path = Path(run.log_dir, 'vis_data', 'scalars.json')
    text = path.read_text() if path.exists() else ''
    entries = map(json.loads, text.splitlines())
    return [entry for entry in entries if 'distill/share_task' in entry]


def model_of(host, request):
    """Config of a distilled model of one host."""
    if host == 'mmdet':
        student, at = mask_rcnn(), 'neck'
    else:
        student, at = pspnet(), 'backbone'
    teacher = request.getfixturevalue(f'{host[2:]}_teacher')
    return distilled(student, teacher, dict(kd=cwd(at)))


def balance_of(model, scale=1.0):
    """The balance of one step, and its losses."""
    model.distill.balance.request(scale)
    losses = step_losses(model, segmentation_batch())
    return model.distill.balance.take(), losses


@pytest.fixture
def model(seg_teacher):
    terms = dict(
        kd=cwd('backbone', weight=5.0),
        late=cwd('logits', schedule=dict(begin=100)),
    )
    built = distiller(pspnet(), seg_teacher, terms)
    built.init_weights()
    built.distill.clock.set(iteration=0, epoch=0)
    return built.train()


def test_shares_and_norms_are_those_of_a_backward_pass_each(model):
    balance, losses = balance_of(model)
    kd = losses['loss_kd']
    task = sum(v for k, v in losses.items() if 'loss_ce' in k)
    whole = (kd + task).item()
    assert balance.shares == pytest.approx(
        dict(task=task.item() / whole, kd=kd.item() / whole, late=0.0)
    )
    assert sum(balance.shares.values()) == pytest.approx(1)
    assert balance.factors == dict(kd=1.0, late=0.0)
    own = [
        p for n, p in model.named_parameters() if not n.startswith('distill.')
    ]
    for name, loss in dict(task=task, kd=kd).items():
        model.zero_grad()
        loss.backward(retain_graph=True)
        squares = sum(p.grad.square().sum() for p in own if p.grad is not None)
        assert balance.norms[name] == pytest.approx(
            float(squares.sqrt()), rel=1e-5
        )
    assert balance.norms['late'] == 0


def test_measuring_leaves_no_gradient_and_is_done_once(model):
    balance, _ = balance_of(model)
    assert balance is not None
    assert all(p.grad is None for p in model.parameters())
    assert model.distill.balance.take() is None
    step_losses(model, segmentation_batch())
    assert model.distill.balance.take() is None


def test_a_loss_scale_is_taken_out_again(model):
    torch.manual_seed(0)
    plain, _ = balance_of(model)
    torch.manual_seed(0)
    scaled, _ = balance_of(model, scale=2.0**14)
    assert scaled.norms == pytest.approx(plain.norms, rel=1e-5)


def test_where_a_gradient_cannot_be_taken_alone_shares_are_left(model):
    stage, forward = model.backbone.layer4, model.backbone.layer4.forward
    stage.forward = lambda x: checkpoint(forward, x, use_reentrant=True)
    balance, losses = balance_of(model)
    assert balance.norms == {}
    assert balance.shares['kd'] > 0
    losses['loss_kd'].backward()
    assert model.backbone.stem[0].weight.grad.abs().max() > 0


@pytest.mark.parametrize('host', ['mmdet', 'mmseg'])
def test_a_run_logs_every_interval_to_the_visualizer(
    host, request, data, tmp_path
):
    run = runner(
        model_of(host, request), data, tmp_path, iters=5, custom_hooks=[HOOK]
    )
    lines = heard(run.logger)
    run.train()
    entries = scalars_of(run)
    assert [entry['step'] for entry in entries] == [2, 4]
    for entry in entries:
        shares = entry['distill/share_kd'], entry['distill/share_task']
        assert sum(shares) == pytest.approx(1)
        assert entry['distill/grad_norm_kd'] > 0
        assert entry['distill/grad_norm_task'] > 0
    share_lines = [
        line for line in lines if line.startswith('Share of the loss:')
    ]
    assert len(share_lines) == 2
    assert 'kd ' in share_lines[0]
    assert 'gradient norm' in share_lines[0]


def test_every_process_measures_and_the_first_one_logs(
    request, data, tmp_path, monkeypatch
):
    """SyncBN waits in a backward pass until all processes are in it."""
    taken = []
    take = BalanceMeter.take
    monkeypatch.setattr(
        BalanceMeter,
        'take',
        lambda self: taken.append(take(self)) or taken[-1],
    )
    monkeypatch.setattr(Runner, 'rank', 1)
    monkeypatch.setattr(term_balance_hook, 'is_main_process', lambda: False)
    run = runner(
        model_of('mmseg', request),
        data,
        tmp_path,
        iters=2,
        custom_hooks=[HOOK],
    )
    lines = heard(run.logger)
    run.train()
    assert taken[0] is None
    assert taken[1].norms['kd'] > 0
    assert scalars_of(run) == []
    assert not [line for line in lines if line.startswith('Share of')]


@pytest.mark.parametrize('host', ['mmdet', 'mmseg'])
def test_training_is_bit_by_bit_the_same_with_the_hook(
    host, request, data, tmp_path
):
    losses, weights = [], []
    for hooks in ([], [dict(HOOK, interval=1)]):
        keep = KeepLosses()
        run = runner(
            model_of(host, request),
            data,
            tmp_path,
            iters=3,
            custom_hooks=hooks,
            hooks=[keep],
        )
        run.train()
        losses.append(keep.steps)
        weights.append(snapshot(run.model))
    assert not differing(*weights)
    for one, other in zip(*losses, strict=True):
        assert not differing(one, other)


@pytest.mark.parametrize(
    ('weight', 'says'),
    [
        (
            1e-6,
            r"term 'kd' is 0\.00% of the loss, under 1%.*times that of the "
            r'task.*raise model\.terms\.kd\.loss\.loss_weight',
        ),
        (
            1e6,
            r"term 'kd' is 100\.00% of the loss, over 90%.*hardly learn its "
            r'task: lower model\.terms\.kd\.loss\.loss_weight',
        ),
    ],
)
def test_a_term_that_is_out_of_balance_is_warned_of_once(
    weight, says, data, seg_teacher, tmp_path
):
    terms = dict(
        kd=cwd('backbone', weight=weight),
        # As small, but by its schedule: no reason to warn.
        rising=cwd('logits', weight=1e-6, schedule=dict(warmup=100)),
    )
    run = runner(
        distilled(pspnet(), seg_teacher, terms),
        data,
        tmp_path,
        iters=6,
        custom_hooks=[HOOK],
        # What is no number ends a run; it must not, at such a weight.
        optim_wrapper=dict(
            type='OptimWrapper', optimizer=dict(type='SGD', lr=0.0)
        ),
    )
    lines = heard(run.logger)
    run.train()
    warnings = [line for line in lines if line.startswith('term ')]
    assert len(warnings) == 1
    assert re.search(says, warnings[0])


def test_it_is_warned_of_again_when_it_leaves_the_limits_again(log_lines):
    hook = TermBalanceHook()
    for share in (0.001, 0.002, 0.5, 0.001, 0.95):
        shares = dict(task=1 - share, kd=share)
        hook._warn_if_extreme('kd', Balance(shares, {}, {}), factor=1.0)
    assert [re.search('(under|over) ', line)[1] for line in log_lines] == [
        'under',
        'under',
        'over',
    ]


@pytest.mark.parametrize('interval', [0, -1, 2.5, None])
def test_an_interval_that_is_none_is_refused(interval):
    with pytest.raises(ValueError, match='interval must be an integer >= 1'):
        HOOKS.build(dict(HOOK, interval=interval))


def test_a_stock_model_is_refused(data, tmp_path):
    run = runner(pspnet(), data, tmp_path, iters=1, custom_hooks=[HOOK])
    with pytest.raises(ValueError, match='EncoderDecoder is not distilled'):
        run.train()
