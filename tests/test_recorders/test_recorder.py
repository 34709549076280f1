"""Recorders on small modules: what they keep, and for how long."""

import gc
import weakref
from contextlib import suppress
from copy import deepcopy

import pytest
import torch
from torch import nn

from mmdistill_dense.recorders import RecorderSet, StopForward


class Net(nn.Module):
    """A conv with an in-place ReLU behind it, a pyramid and a shared head."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.neck = Pyramid()
        self.head = nn.Conv2d(4, 2, 1)
        self.unused = nn.ModuleList([nn.Identity()])

    def forward(self, x):
        maps = self.neck(feature=self.relu(self.conv(x)))
        return [self.head(m) for m in (maps['fine'], *maps['coarse'])]


class Pyramid(nn.Module):
    def forward(self, feature):
        coarse = feature[..., ::2, ::2], (feature[..., ::4, ::4],)
        steps = torch.tensor(3)  # not a map, and not kept
        return dict(
            fine=feature + 1, steps=steps, coarse=[*coarse[:1]] + [*coarse[1]]
        )


@pytest.fixture
def net():
    return Net()


@pytest.fixture
def x():
    return torch.randn(2, 3, 8, 8)


def record(net, x, path, expected=None, **settings):
    recorders = RecorderSet(net)
    source = recorders.add(net, 'key', path, **settings)
    with recorders.recording(['key'], expected):
        net(x)
        return source.read()


def calls(source):
    return sum(recorder.calls for recorder in source.recorders)


def test_an_output_is_the_tensor_itself(net, x):
    (kept,) = record(net, x, 'relu')
    torch.testing.assert_close(kept, net.conv(x).relu())
    assert kept.requires_grad


def test_an_input_may_come_by_position_or_by_keyword(net, x):
    (kept,) = record(net, x, 'conv', take='input')
    assert kept is x
    (kept,) = record(net, x, 'neck', take='input')
    torch.testing.assert_close(kept, net.conv(x).relu())


def test_a_whole_neck_is_flattened_in_order(net, x):
    maps = record(net, x, 'neck')
    assert [m.shape[-1] for m in maps] == [8, 4, 2]
    assert all(m.is_floating_point() for m in maps)


def test_a_shared_head_gives_one_tensor_per_call(net, x):
    assert [m.shape[-1] for m in record(net, x, 'head')] == [8, 4, 2]


def test_several_modules_are_read_in_the_patterns_order(net, x):
    shapes = [m.shape[1:] for m in record(net, x, '{head,relu}')]
    assert shapes == [(2, 8, 8), (2, 4, 4), (2, 2, 2), (4, 8, 8)]


def test_in_place_work_behind_a_recorded_module_is_noticed(net, x):
    with pytest.raises(
        RuntimeError,
        match=r"the output of 'conv' was changed in place .*in-place ReLU"
        r".*dict\(path='conv', clone=True\)",
    ):
        record(net, x, 'conv')


def test_a_clone_is_safe_from_in_place_work_and_keeps_its_graph(net, x):
    (kept,) = record(net, x, 'conv', clone=True)
    torch.testing.assert_close(kept, net.conv(x))
    assert kept.min() < 0
    kept.sum().backward()
    assert net.conv.weight.grad.abs().max() > 0


def test_a_module_that_is_not_called_is_named(net, x):
    with pytest.raises(
        RuntimeError, match=r"'unused' recorded nothing.*'unused\.\*'"
    ):
        record(net, x, 'unused')


def test_take_is_input_or_output(net):
    with pytest.raises(ValueError, match=r"take must be .* got 'grad'"):
        RecorderSet(net).add(net, 'key', 'conv', take='grad')


def test_switched_off_nothing_is_kept_or_counted(net, x):
    recorders = RecorderSet(net)
    source = recorders.add(net, 'key', 'conv')
    expected = [m.clone() for m in net(x)]
    other = Net()
    other.load_state_dict(net.state_dict(), strict=True)
    assert calls(source) == 0
    assert source.recorders[0]._recorded == []
    torch.testing.assert_close(expected, other(x), rtol=0, atol=0)


def test_only_the_requested_sources_are_on(net, x):
    recorders = RecorderSet(net)
    first = recorders.add(net, 'first', 'relu')
    second = recorders.add(net, 'second', 'head')
    with recorders.recording(['second']):
        net(x)
        assert (calls(first), calls(second)) == (0, 3)


def test_two_sources_of_one_module_share_a_hook(net, x):
    recorders = RecorderSet(net)
    sources = [recorders.add(net, key, 'relu') for key in ('a', 'b')]
    cloned = recorders.add(net, 'c', 'relu', clone=True)
    with recorders.recording(['a', 'b', 'c']):
        net(x)
        first, second, copy = (s.read()[0] for s in (*sources, cloned))
    assert first is second
    assert copy is not first
    assert len(net.relu._forward_hooks) == 2


def test_no_tensor_and_no_graph_outlives_the_recording(net, x):
    recorders = RecorderSet(net)
    source = recorders.add(net, 'key', 'neck')
    with recorders.recording(['key']):
        net(x)
        alive = [weakref.ref(m) for m in source.read()]
        node = source.read()[0].grad_fn
        node.metadata['mark'] = mark = Net()
        graph = weakref.ref(mark)
        del node, mark
        assert graph() is not None
    gc.collect()
    assert [ref() for ref in alive] == [None] * 3
    assert graph() is None


def test_an_exception_leaves_nothing_behind(net, x):
    recorders = RecorderSet(net)
    source = recorders.add(net, 'key', 'conv')

    def two_passes():
        with recorders.recording(['key']):
            net(x)
            net(x[:, :2])

    with pytest.raises(RuntimeError, match='expected input'):
        two_passes()
    assert calls(source) == 0
    assert not source.recorders[0].on
    assert source.recorders[0]._recorded == []


def test_a_second_recording_starts_empty(net, x):
    recorders = RecorderSet(net)
    source = recorders.add(net, 'key', 'head')
    for _ in range(2):
        with recorders.recording(['key']):
            net(x)
            assert len(source.read()) == 3


def test_a_deep_copy_records_into_itself(net, x):
    net.recorders = RecorderSet(net)
    net.recorders.add(net, 'key', 'relu')
    copy = deepcopy(net)
    with torch.no_grad():
        copy.conv.weight.mul_(2)
    with copy.recorders.recording(['key']), net.recorders.recording(['key']):
        copy(x)
        assert calls(net.recorders['key']) == 0
        (kept,) = copy.recorders['key'].read()
    torch.testing.assert_close(kept, copy.conv(x).relu())


def test_a_pass_ends_at_the_last_call_that_is_expected(net, x):
    seen = []
    net.head.register_forward_hook(lambda *_: seen.append('head'))
    recorders = RecorderSet(net)
    source = recorders.add(net, 'key', '{conv,relu}')
    recorders.add(net, 'other', 'head')
    with recorders.recording(['key', 'other']):
        net(x)
        expected = recorders.calls()
    assert seen == ['head'] * 3
    with recorders.recording(['key'], expected):
        with suppress(StopForward):
            net(x)
        # It stopped behind the ReLU, which had changed the conv's output.
        assert calls(source) == 2
    assert seen == ['head'] * 3


def test_ending_a_pass_is_not_taken_for_a_failure():
    assert not issubclass(StopForward, Exception)
