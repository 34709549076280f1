"""``load_from`` and resume, with ``weights_only`` kept on."""

from pathlib import Path

import pytest
import torch

from ..helpers.models import STILL, cwd, distiller, pspnet, save_weights
from ..helpers.runs import (
    AtStart,
    KeepLosses,
    differing,
    distilled,
    runner,
    snapshot,
    student_part,
)
from ..helpers.stack import unpickles_code

EPOCH = 3  # iterations, of six images in batches of two
FADING = dict(
    iters=dict(begin=2, warmup=4, end=8, decay=2),
    epochs=dict(begin=1, warmup=2, by_epoch=True),
)


@pytest.fixture
def student():
    return pspnet(**STILL)


def test_load_from_a_stock_checkpoint_loads_the_student(
    student, data, seg_teacher, tmp_path, capsys
):
    path = save_weights(student, tmp_path / 'stock.pth', seed=7, scope='mmseg')
    start = AtStart()
    model = distilled(student, seg_teacher, dict(kd=cwd('backbone')))
    run = runner(model, data, tmp_path, iters=1, load_from=path, hooks=[start])
    run.train()
    saved = torch.load(path, weights_only=True)['state_dict']
    assert not differing(saved, student_part(start.state))
    # MMEngine prints this; the log file does not have it.
    printed = capsys.readouterr().out
    missing = printed.split('missing keys in source state_dict: ')[1]
    names = missing.splitlines()[0].split(', ')
    assert len(names) == 8
    assert all(name.startswith('distill.') for name in names)
    assert 'unexpected key in source' not in printed
    assert 'size mismatch' not in printed


def test_weights_without_metadata_load_strictly_beside_a_loaded_teacher(
    student, seg_teacher
):
    # As from safetensors; BatchNorm then looks for its oldest format.
    model = distiller(student, seg_teacher, dict(kd=cwd('backbone')))
    weights = snapshot(model)
    model.init_weights()
    teacher = model.distill.teachers['teacher']
    before = {k: v.clone() for k, v in teacher.named_buffers()}
    assert differing(weights, snapshot(model))
    model.load_state_dict(weights, strict=True)
    assert not differing(weights, snapshot(model))
    assert not differing(before, dict(teacher.named_buffers()))


def test_load_from_a_checkpoint_under_a_prefix_is_refused(
    student, data, seg_teacher, tmp_path
):
    path = save_weights(student, tmp_path / 'stock.pth', scope='mmseg')
    saved = torch.load(path, weights_only=True)['state_dict']
    wrapped = {f'student.{k}': v for k, v in saved.items()}
    torch.save(dict(state_dict=wrapped), path)
    model = distilled(student, seg_teacher, dict(kd=cwd('backbone')))
    run = runner(model, data, tmp_path, iters=1, load_from=path)
    with pytest.raises(
        ValueError,
        match=r'(?s)the checkpoint has no key of DistilledEncoderDecoder: its '
        r'first keys are .*student\.backbone.*'
        r'expected keys such as.*keys have a prefix',
    ):
        run.train()


@pytest.mark.parametrize('unit', ['iters', 'epochs'])
def test_a_resumed_run_equals_one_that_never_stopped(
    student, data, seg_teacher, tmp_path, unit
):
    terms = dict(
        kd=cwd('backbone', weight=2.0, schedule=FADING[unit]),
        logits=cwd('logits'),
    )
    model = distilled(student, seg_teacher, terms)
    half, whole = (4, 8) if unit == 'iters' else (2, 4)

    def train_to(end, folder, **settings):
        losses = KeepLosses()
        run = runner(
            model,
            data,
            tmp_path / folder,
            save=half,
            hooks=[losses],
            param_scheduler=[
                dict(type='PolyLR', end=16, power=0.9, by_epoch=False)
            ],
            **{unit: end},
            **settings,
        )
        run.train()
        return run, losses.steps

    straight, expected = train_to(whole, 'straight')
    train_to(half, 'halves')
    resumed, steps = train_to(whole, 'halves', resume=True)
    assert resumed.iter == straight.iter == (8 if unit == 'iters' else 12)
    assert not differing(snapshot(straight.model), snapshot(resumed.model))
    assert len(steps) == len(expected) // 2
    for before, after in zip(expected[-len(steps) :], steps, strict=True):
        assert not differing(before, after)
    zero = [step['loss_kd'] == 0 for step in expected]
    if unit == 'iters':
        assert zero == [True] * 2 + [False] * 6
    else:
        assert zero == [True] * EPOCH + [False] * 3 * EPOCH


def test_load_from_starts_the_schedule_anew(
    student, data, seg_teacher, tmp_path, capsys
):
    terms = dict(kd=cwd('backbone', schedule=dict(begin=1)))
    model = distilled(student, seg_teacher, terms)
    runner(model, data, tmp_path / 'first', iters=2, save=2).train()
    losses = KeepLosses()
    path = str(tmp_path / 'first' / 'iter_2.pth')
    run = runner(
        model,
        data,
        tmp_path / 'second',
        iters=2,
        load_from=path,
        hooks=[losses],
    )
    run.train()
    assert losses.steps[0]['loss_kd'] == 0
    assert losses.steps[1]['loss_kd'] > 0
    assert 'do not match exactly' not in capsys.readouterr().out


class Touch:
    """Unpickled with ``weights_only=False``, it would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


@unpickles_code
def test_a_checkpoint_that_runs_code_is_refused(
    student, data, seg_teacher, tmp_path
):
    path, witness = str(tmp_path / 'evil.pth'), tmp_path / 'was_here'
    torch.save(dict(state_dict={}, extra=Touch(witness)), path)
    model = distilled(student, seg_teacher, dict(kd=cwd('backbone')))
    run = runner(model, data, tmp_path, iters=1, load_from=path)
    with pytest.raises(Exception, match='Weights only load failed'):
        run.train()
    assert not witness.exists()
    # What the refusal kept from happening.
    torch.load(path, weights_only=False)
    assert witness.exists()
