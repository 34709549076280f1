"""When a term counts, and who tells the time."""

import pytest
from mmengine.logging import MessageHub

from mmdistill_dense.models.distillers.schedule import Clock, Schedule

from ..helpers.batches import segmentation_batch, step_losses
from ..helpers.models import cwd, distiller, pspnet


@pytest.mark.parametrize(
    ('settings', 'factors'),
    [
        (dict(), [1, 1, 1, 1, 1, 1, 1, 1]),
        (dict(begin=3), [0, 0, 0, 1, 1, 1, 1, 1]),
        (dict(end=3), [1, 1, 1, 0, 0, 0, 0, 0]),
        (dict(begin=2, end=4), [0, 0, 1, 1, 0, 0, 0, 0]),
        (dict(warmup=4), [0.25, 0.5, 0.75, 1, 1, 1, 1, 1]),
        (dict(warmup=1), [1, 1, 1, 1, 1, 1, 1, 1]),
        (dict(begin=2, warmup=2), [0, 0, 0.5, 1, 1, 1, 1, 1]),
        (dict(end=6, decay=4), [1, 1, 1, 0.75, 0.5, 0.25, 0, 0]),
        (
            dict(begin=1, end=7, warmup=2, decay=4),
            [0, 0.5, 1, 1, 0.75, 0.5, 0.25, 0],
        ),
    ],
)
def test_the_factor_of_each_unit(settings, factors):
    schedule = Schedule(**settings)
    assert [schedule.factor(now) for now in range(8)] == factors
    assert schedule.constant == (
        factors == [1] * 8 and 'warmup' not in settings
    )


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(begin=-1), r'begin must be an integer >= 0, got -1'),
        (dict(begin=0.5), r'begin must be an integer >= 0, got 0\.5'),
        (dict(warmup='3'), r"warmup must be an integer >= 0, got '3'"),
        (dict(decay=2), 'decay needs an end'),
        (dict(begin=3, end=3), r'end=3 leaves no room .* >= 4'),
        (dict(end=0), r'end=0 leaves no room .* >= 1'),
        (dict(end=5, warmup=3, decay=3), r'end=5 leaves no room .* >= 6'),
        (dict(end=4.5), r'end must be an integer >= 0, got 4\.5'),
    ],
)
def test_schedules_that_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Schedule(**settings)


def test_a_setting_that_is_unknown_is_refused_with_its_term(seg_teacher):
    term = cwd('backbone', schedule=dict(start=3))
    with pytest.raises(TypeError, match=r"term 'kd': .*'start'"):
        distiller(pspnet(), seg_teacher, dict(kd=term))


@pytest.mark.parametrize('unit', ['iter', 'epoch'])
def test_the_runner_tells_the_time_through_the_message_hub(unit):
    hub = MessageHub.get_instance('a run')
    hub.update_info('iter', 12)
    hub.update_info('epoch', 3)
    assert Clock().now(by_epoch=unit == 'epoch') == hub.get_info(unit)


def test_a_loop_of_ones_own_tells_it_by_a_call():
    clock = Clock()
    clock.set(iteration=5, epoch=2)
    assert clock.now(by_epoch=False) == 5
    assert clock.now(by_epoch=True) == 2


@pytest.fixture(scope='module')
def scheduled(seg_teacher):
    terms = dict(
        by_iteration=cwd('backbone', schedule=dict(warmup=4)),
        by_epoch=cwd('backbone', schedule=dict(begin=1, end=2, by_epoch=True)),
    )
    return distiller(pspnet(), seg_teacher, terms)


def losses_at(model, iteration, epoch):
    hub = MessageHub.get_instance('a run')
    hub.update_info('iter', iteration)
    hub.update_info('epoch', epoch)
    model.eval()  # no dropout, no statistics: one value for one input
    losses = step_losses(model, segmentation_batch())
    return losses['loss_by_iteration'].item(), losses['loss_by_epoch'].item()


def test_iterations_and_epochs_reach_the_losses(scheduled):
    full, nothing = losses_at(scheduled, 9, 0)
    assert full > 0
    assert nothing == 0
    # Both terms share their recorders and, but for connectors, all else.
    assert losses_at(scheduled, 0, 1)[0] == pytest.approx(full / 4)
    assert losses_at(scheduled, 0, 1)[1] > 0
    assert losses_at(scheduled, 1, 2)[0] == pytest.approx(full / 2)
    assert losses_at(scheduled, 1, 2)[1] == 0


@pytest.mark.parametrize(
    ('by_epoch', 'unit'), [(False, 'iter'), (True, 'epoch')]
)
def test_a_schedule_without_a_clock_is_refused(seg_teacher, by_epoch, unit):
    schedule = dict(begin=1, by_epoch=by_epoch)
    model = distiller(
        pspnet(), seg_teacher, dict(kd=cwd('backbone', schedule=schedule))
    )
    with pytest.raises(
        RuntimeError,
        match=f'the {unit} is not known.*RuntimeInfoHook.*clock.set',
    ):
        step_losses(model, segmentation_batch())
    model.distill.clock.set(iteration=0)
    assert step_losses(model, segmentation_batch())['loss_kd'] == 0


def test_a_constant_term_needs_no_clock(seg_teacher):
    model = distiller(pspnet(), seg_teacher, dict(kd=cwd('backbone')))
    assert step_losses(model, segmentation_batch())['loss_kd'] > 0
