"""A loss that becomes NaN stops the training, in a sentence."""

import math

import pytest
import torch

from mmdistill_dense.hooks import NonFiniteLossHook

from .toy import Toy, runner

RESUMABLE = dict(type='mmdistill_dense.ResumableCheckpointHook', interval=2)


def after(limit, value=math.nan):
    return lambda call: value if call > limit else 1.0


def steady(_):
    return 2.0


def hook(**settings):
    return dict(type='mmdistill_dense.NonFiniteLossHook', **settings)


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_the_term_and_its_iteration_are_named(tmp_path, value):
    model = Toy(loss_cwd=after(4, value), loss_cls=steady)
    training = runner(tmp_path, model, [hook()], checkpoint=RESUMABLE)
    with pytest.raises(RuntimeError, match='loss_cwd') as error:
        training.train()
    assert model.calls == 6  # the next iteration of the log
    assert str(error.value).startswith(
        f"the loss 'loss_cwd' is {value} since iteration 5; its last finite "
        'value was 0.9'
    )
    assert f'The last checkpoint is {tmp_path}/iter_4.pth' in str(error.value)
    assert not (tmp_path / 'iter_6.pth').exists()


def test_a_loss_that_is_first_of_several_is_named(tmp_path):
    model = Toy(loss_b=after(3), loss_a=after(2))
    with pytest.raises(RuntimeError, match=r"'loss_a' is nan since .* 3"):
        runner(tmp_path, model, [hook()]).train()


def test_the_sum_is_named_if_nothing_else_is_at_fault(tmp_path):
    model = Toy(loss_a=after(5, 2e38), loss_b=after(5, 2e38))
    with pytest.raises(RuntimeError, match="the loss 'loss' is inf since"):
        runner(tmp_path, model, [hook()]).train()


def test_the_last_iteration_is_looked_at(tmp_path):
    with pytest.raises(RuntimeError, match='never was finite'):
        runner(tmp_path, Toy(loss=after(0)), [hook()], iters=1).train()


def test_a_switch_lets_it_go_on(tmp_path, capsys):
    model = Toy(loss_cwd=after(3))
    runner(tmp_path, model, [hook(stop=False, interval=1)]).train()
    assert model.calls == 8
    lines = [
        line
        for line in capsys.readouterr().out.splitlines()
        if 'is nan since' in line
    ]
    assert len(lines) == 1
    assert 'goes on, as stop=False' in lines[0]


def test_it_waits_for_no_device(tmp_path, monkeypatch):
    model = Toy(loss_cwd=steady)
    training = runner(tmp_path, model, [hook(interval=1)])
    reads = []
    item = torch.Tensor.item
    monkeypatch.setattr(
        torch.Tensor, 'item', lambda self: reads.append(self) or item(self)
    )
    step = NonFiniteLossHook.after_train_iter

    def watched(self, *args, **kwargs):
        before = len(reads)
        step(self, *args, **kwargs)
        assert len(reads) == before

    monkeypatch.setattr(NonFiniteLossHook, 'after_train_iter', watched)
    training.train()
    assert reads  # MMEngine's own, for the log


def test_a_wrong_interval_is_refused():
    with pytest.raises(ValueError, match='interval'):
        NonFiniteLossHook(interval=0)
