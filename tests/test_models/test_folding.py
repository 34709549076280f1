"""Which batch norms are folded, and which must not be."""

import pytest
import torch
from torch import nn

from mmdistill_dense.models.teachers.folding import fold_batch_norms
from mmdistill_dense.models.utils import eval_mode


def trained(model):
    """Statistics that a norm would have after training, in eval mode."""
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias)
    return model.eval()


class Net(nn.Module):
    """A convolution ``conv``, a norm ``norm``, and what is made of them."""

    def __init__(self, forward, conv=None, norm=None, **others):
        super().__init__()
        self.conv = conv or nn.Conv2d(3, 4, 3, bias=False)
        self.norm = norm or nn.BatchNorm2d(4)
        for name, module in others.items():
            setattr(self, name, module)
        self._run = forward

    def forward(self, x):
        return self._run(self, x)


def plain(net, x):
    return net.norm(net.conv(x)).relu()


def fold(net, x=None):
    """How many norms were folded; what the net gives stays."""
    x = torch.randn(2, 3, 9, 9) if x is None else x
    trained(net)
    with eval_mode(net):
        before = net(x)
        count = fold_batch_norms(net, lambda: net(x))
        torch.testing.assert_close(net(x), before, rtol=1e-5, atol=1e-5)
    return count


@pytest.mark.parametrize(
    ('conv', 'norm'),
    [
        (nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)),
        (nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4, affine=False)),
        (nn.Conv2d(3, 6, 1, groups=3), nn.BatchNorm2d(6, eps=1e-3)),
        (nn.Conv2d(3, 4, 3, dilation=2), nn.SyncBatchNorm(4)),
    ],
)
def test_a_norm_behind_a_convolution(conv, norm):
    net = Net(plain, conv, norm)
    assert fold(net) == 1
    assert isinstance(net.norm, nn.Identity)
    assert net.conv.bias is not None


class Scaled(nn.Conv2d):
    """What a subclass may do."""

    def forward(self, x):
        return 2 * super().forward(x)


def read_twice(net, x):
    y = net.conv(x)
    return net.norm(y) + y


def changed_between(net, x):
    return net.norm(net.conv(x).relu_())


def view_between(net, x):
    return net.norm(net.conv(x).flatten(2)[..., None])


def conv_twice(net, x):
    return net.norm(net.conv(x)) + net.conv(x)


def norm_twice(net, x):
    return net.norm(net.conv(x)) + net.norm(net.other(x))


def norm_first(net, x):
    return net.conv(net.norm(x))


@pytest.mark.parametrize(
    ('forward', 'parts'),
    [
        (read_twice, dict()),
        (changed_between, dict()),
        (view_between, dict()),
        (conv_twice, dict()),
        (norm_twice, dict(other=nn.Conv2d(3, 4, 3))),
        (norm_first, dict(norm=nn.BatchNorm2d(3))),
        (plain, dict(conv=Scaled(3, 4, 3))),
        (plain, dict(norm=nn.BatchNorm2d(4, track_running_stats=False))),
    ],
)
def test_norms_that_must_stay(forward, parts):
    norms = nn.ModuleDict(parts)
    if parts.get('norm') and not parts['norm'].track_running_stats:
        net = Net(forward, **norms).eval()
        with eval_mode(net):
            x = torch.randn(2, 3, 9, 9)
            assert fold_batch_norms(net, lambda: net(x)) == 0
        return
    assert fold(Net(forward, **norms)) == 0


def test_a_weight_that_two_convolutions_share_stays():
    net = Net(lambda net, x: plain(net, x) + net.other(x))
    net.other = nn.Conv2d(3, 4, 3, bias=False)
    net.other.weight = net.conv.weight
    assert fold(net) == 0


@pytest.mark.parametrize('recorded', ['conv', 'norm'])
@pytest.mark.parametrize(
    'register', ['register_forward_hook', 'register_forward_pre_hook']
)
def test_what_is_recorded_stays(recorded, register):
    net = Net(plain)
    getattr(getattr(net, recorded), register)(lambda *_: None)
    assert fold(net) == 0
    assert isinstance(net.norm, nn.BatchNorm2d)


def test_what_the_pass_does_not_run_stays_and_no_hook_is_left():
    net = Net(plain, unused=nn.Sequential(nn.Conv2d(3, 4, 1)))
    net.unused.append(nn.BatchNorm2d(4))
    assert fold(net) == 1
    assert isinstance(net.unused[1], nn.BatchNorm2d)
    for module in net.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
