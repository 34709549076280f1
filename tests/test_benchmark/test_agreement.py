"""Contenders that do not train the same are not compared."""

from types import SimpleNamespace

import pytest
from torch import nn

from mmdistill_tools.benchmark import BenchmarkError
from mmdistill_tools.benchmark.agreement import check_agreement

OWN = dict(loss_cls=2.0, loss_box=0.5)


def contender(name, distilled=0.0, model=None, **losses):
    found = {**OWN, **losses}
    return SimpleNamespace(
        name=name,
        model=model or nn.Identity(),
        losses=lambda: (found, distilled),
    )


def check(*others):
    return check_agreement(
        [contender('student'), contender('mmdistill_dense', 3.0), *others]
    )


def test_losses_that_agree_are_given_back():
    found = check(contender('floor'), contender('peer', 3.001))
    assert found['peer'] == dict(**OWN, distillation=3.001)
    assert found['floor']['distillation'] == 0


@pytest.mark.parametrize(
    ('other', 'message'),
    [
        (contender('peer', 3.1), r'peer: distillation is 3\.1 .* 3 to'),
        (contender('peer', 3.0, loss_cls=2.1), r'peer: loss_cls is 2\.1'),
        (contender('floor', 0.0, loss_box=0.6), r'floor: loss_box is 0\.6'),
        (contender('peer', float('nan')), 'peer: distillation is nan'),
        (contender('peer', 3.0, loss_mask=1.0), 'peer has the losses'),
        (
            contender('mmdistill_dense, precision=bf16', 4.0),
            r'bf16: distillation is 4',
        ),
    ],
)
def test_others_are_refused(other, message):
    with pytest.raises(BenchmarkError, match=message):
        check(other)


def test_switches_may_round():
    with pytest.raises(BenchmarkError, match='they do not train the same'):
        check(contender('peer', 3.05))
    check(contender('mmdistill_dense, precision=bf16', 3.05))


def test_a_stream_of_its_own_changes_nothing():
    name = 'mmdistill_dense, precision=bf16'
    beside = contender(name, 3.01)
    check(beside, contender(f'{name}, stream=True', 3.01))
    with pytest.raises(BenchmarkError, match=r'stream=True: .* 3\.01 to 0'):
        check(beside, contender(f'{name}, stream=True', 3.02))


def test_a_peers_teacher_is_in_eval_for_it_and_as_before_after():
    model = nn.Module()
    model.teacher = nn.Sequential(nn.Dropout(), nn.BatchNorm2d(1).eval())
    seen = []
    other = contender('peer', 3.0, model=model)
    original = other.losses

    def losses():
        seen.append([m.training for m in model.teacher.modules()])
        return original()

    other.losses = losses
    check(other)
    assert seen == [[False] * 3]
    assert [m.training for m in model.teacher.modules()] == [True, True, False]
