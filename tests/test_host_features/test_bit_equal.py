"""With every weight 0 a run is the stock run, bit by bit."""

import pytest
import torch

from ..helpers.models import cwd, mask_rcnn, pspnet
from ..helpers.runs import (
    KeepLosses,
    differing,
    distilled,
    runner,
    snapshot,
    student_part,
)

STEPS = 10
#: Five levels for the FPN, one for the last stage of the PSPNet's backbone.
IDLE = {
    'weight 0': lambda at, levels: dict(kd=cwd(at, weight=0.0)),
    'level weights 0': lambda at, levels: dict(
        kd=cwd(at, level_weights=[0.0] * levels)
    ),
    'no terms': lambda at, levels: None,
    'not begun': lambda at, levels: dict(
        kd=cwd(at, schedule=dict(begin=STEPS + 1))
    ),
}


def train(model, data, folder):
    losses = KeepLosses()
    run = runner(model, data, folder, iters=STEPS, hooks=[losses])
    run.train()
    return snapshot(run.model), losses.steps


@pytest.fixture(scope='module')
def stock(data, tmp_path_factory):
    """State and steps of the stock run of each student."""
    folder = tmp_path_factory.mktemp('stock')
    return {
        build: train(build(), data, folder / build.__name__)
        for build in (mask_rcnn, pspnet)
    }


def check_equal(stock, trained):
    state, steps = stock
    assert not differing(state, student_part(trained[0]))
    assert len(steps) == len(trained[1]) == STEPS
    for expected, logged in zip(steps, trained[1], strict=True):
        kept = {k: v for k, v in logged.items() if k != 'loss_kd'}
        assert not differing(expected, kept)


@pytest.mark.parametrize('idle', IDLE)
@pytest.mark.parametrize(
    ('build', 'at', 'levels', 'connectors'),
    [(mask_rcnn, 'neck', 5, 10), (pspnet, 'backbone', 4, 8)],
)
def test_ten_iterations_of_an_idle_run_equal_the_stock_ones(
    stock, data, request, tmp_path, build, at, levels, connectors, idle
):
    terms = IDLE[idle](at, levels)
    kind = 'det' if build is mask_rcnn else 'seg'
    teacher = request.getfixturevalue(f'{kind}_teacher')
    trained = train(distilled(build(), teacher, terms), data, tmp_path)
    check_equal(stock[build], trained)
    found = [k for k in trained[0] if k.startswith('distill.')]
    assert len(found) == (connectors if terms else 0)


def test_the_stock_run_trains_and_a_term_with_a_weight_changes_it(
    stock, data, seg_teacher, tmp_path
):
    # What the comparisons above would look like if they could not fail.
    model = distilled(pspnet(), seg_teacher, dict(kd=cwd('backbone')))
    state, steps = train(model, data, tmp_path)
    changed = differing(stock[pspnet][0], student_part(state))
    assert 'backbone.layer4.1.conv2.weight' in changed
    assert steps[0]['loss_kd'] > 0
    assert torch.equal(
        steps[0]['decode.loss_ce'], stock[pspnet][1][0]['decode.loss_ce']
    )
