"""The queue: whose vectors it holds, where, since when, in all processes."""

import pytest
import torch
from torch.nn.functional import normalize

from mmdistill_dense.models.pcd.queue import NegativeQueue

from ..helpers.tool_runs import in_two_processes


def keys(n, channels=4, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return 5 * torch.randn(n, channels, generator=rng)


def test_it_starts_with_random_unit_columns():
    queue = NegativeQueue(4, 100)
    assert queue.size == 100
    lengths = queue.vectors.norm(dim=0)
    torch.testing.assert_close(lengths, torch.ones(100))
    assert queue.vectors.mean().abs() < 0.1
    state = queue.statistics()
    assert (state['queue_age'], state['queue_filled']) == (0, 0)


def test_the_oldest_go_first_and_the_pointer_wraps():
    # 3 does not divide 8: the third step writes at 6, 7 and 0.
    queue = NegativeQueue(4, 8)
    first = queue.vectors.clone()
    steps = [keys(3, seed=seed) for seed in range(3)]
    units = normalize(torch.cat(steps), dim=1).T
    queue.enqueue(steps[0])
    assert torch.equal(queue.vectors[:, :3], units[:, :3])
    assert torch.equal(queue.vectors[:, 3:], first[:, 3:])
    assert queue.pointer == 3
    for step in steps[1:]:
        queue.enqueue(step)
    assert torch.equal(queue.vectors[:, 1:8], units[:, 1:8])
    assert torch.equal(queue.vectors[:, 0], units[:, 8])
    assert queue.pointer == 1
    lengths = queue.vectors.norm(dim=0)
    torch.testing.assert_close(lengths, torch.ones(8))


def test_ages_are_those_in_the_step_that_uses_them():
    queue = NegativeQueue(4, 8)
    queue.enqueue(keys(2))
    state = queue.statistics()
    assert (state['queue_age'], state['queue_filled']) == (1, 0.25)
    queue.enqueue(keys(4))
    state = queue.statistics()
    # Two of 2 iterations, four of 1; two are random and have no age.
    assert state['queue_age'].item() == pytest.approx((2 * 2 + 4) / 6)
    assert state['queue_filled'] == 0.75
    for _ in range(4):
        queue.enqueue(keys(4))
    state = queue.statistics()
    assert (state['queue_age'], state['queue_filled']) == (1.5, 1)


def test_a_step_may_fill_it_but_not_be_larger():
    queue = NegativeQueue(4, 3)
    queue.enqueue(keys(3))
    assert queue.pointer == 0
    with pytest.raises(ValueError, match=r'queue_size=3 is smaller .* 4 i'):
        queue.enqueue(keys(4))


@pytest.mark.parametrize('size', [0, -1, 2.0, True, '8', None])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(ValueError, match='queue_size must be an integer >= 1'):
        NegativeQueue(4, size)


def test_a_checkpoint_brings_back_all_of_it():
    queue, other = NegativeQueue(4, 8), NegativeQueue(4, 8)
    queue.set_teacher_fingerprint('0000abcd')
    queue.enqueue(keys(3))
    other.load_state_dict(queue.state_dict())
    for place in (queue, other):
        place.enqueue(keys(7, seed=1))
    assert queue.calls == 2
    for one, two in zip(queue.buffers(), other.buffers(), strict=True):
        assert torch.equal(one, two)
    assert other.teacher == 0xABCD


@pytest.mark.parametrize('shape', [(4, 9), (5, 8)])
def test_a_queue_of_another_shape_is_refused(shape):
    state = NegativeQueue(*shape).state_dict()
    with pytest.raises(
        ValueError,
        match=rf'\(C, K\) = \({shape[0]}, {shape[1]}\), expected \(4, 8\): '
        r'.*another teacher or queue_size. Resume with',
    ):
        NegativeQueue(4, 8).load_state_dict(state)


def test_a_queue_of_another_teacher_is_refused_in_either_order():
    first, second = NegativeQueue(4, 8), NegativeQueue(4, 8)
    first.set_teacher_fingerprint('00000001')
    second.set_teacher_fingerprint('00000002')
    second.set_teacher_fingerprint('00000002')
    match = r'\(fingerprint 00000001, current teacher 00000002\)'
    with pytest.raises(ValueError, match=match):
        second.load_state_dict(first.state_dict())
    fresh = NegativeQueue(4, 8)
    fresh.load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match=match):
        fresh.set_teacher_fingerprint('00000002')
    second.load_state_dict(NegativeQueue(4, 8).state_dict())  # of no teacher


def test_it_follows_the_dtype():
    queue = NegativeQueue(4, 8).double()
    queue.enqueue(keys(3))
    assert queue.vectors.dtype == torch.float64
    assert queue.written.dtype == torch.long


def test_two_processes_have_one_queue(tmp_path):
    def work(rank):
        torch.manual_seed(rank)
        queue = NegativeQueue(4, 10)
        begun = queue.vectors.clone()
        queue.broadcast()
        shared = queue.vectors.clone()
        queue.enqueue(keys(3, seed=rank))
        queue.enqueue(keys(3, seed=2 + rank))
        found = dict(begun=begun, shared=shared, state=queue.state_dict())
        torch.save(found, f'{tmp_path}/{rank}.pth')

    in_two_processes(work)
    one, two = (torch.load(tmp_path / f'{rank}.pth') for rank in range(2))
    assert not torch.equal(one['begun'], two['begun'])
    assert torch.equal(one['shared'], one['begun'])
    assert torch.equal(two['shared'], one['begun'])
    for key, value in one['state'].items():
        assert torch.equal(value, two['state'][key]), key
    # By rank in each step; the second one goes on at the beginning.
    order = torch.cat([keys(3, seed=seed) for seed in range(4)])
    units = normalize(order, dim=1).T
    expected = torch.cat([units[:, 10:], units[:, 2:10]], dim=1)
    assert torch.equal(one['state']['vectors'], expected)
    assert one['state']['pointer'] == 2
    assert one['state']['calls'] == 2
