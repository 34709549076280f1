"""Receptive tokens of one level, and the files that hold them."""

import re

import pytest
import torch
from torch import nn

from mmdistill_dense.models.maskd.receptive_tokens import ReceptiveTokens
from mmdistill_dense.models.maskd.token_files import (
    check_channels,
    read_tokens,
    write_tokens,
)

from ..helpers.tokens import official as official_draw
from ..helpers.tokens import save_tokens


@pytest.fixture
def official():
    """The teacher's map of the fixture, and tokens with a weighting net."""
    drawn = official_draw()
    module = ReceptiveTokens(4, 3).double()
    module.load_state_dict(drawn.level)
    return module, drawn.teacher


def test_the_official_weights(official):
    module, teacher = official
    expected = [0.356100122292937, 0.287662656029834, 0.356237221677229]
    weights = module.weights(teacher)
    assert weights.shape == (2, 3)
    assert weights[0].tolist() == pytest.approx(expected, abs=1e-12)


def test_the_official_output_of_stage_1(official):
    module, teacher = official
    masked, masks = module(teacher)
    assert masks.shape == (2, 3, 3, 5)
    assert masked.sum().item() == pytest.approx(-7.871007103873307, abs=1e-12)
    module.prob = None
    masked, _ = module(teacher)
    assert masked.sum().item() == pytest.approx(-24.565274410171206, abs=1e-12)


@pytest.mark.parametrize('size', [(1, 1), (1, 6), (5, 1), (2, 2), (7, 9)])
def test_the_weighting_net_is_its_plain_form(size):
    module = ReceptiveTokens(4, 3).double()
    nn.init.normal_(module.prob[0].bias)
    features = torch.randn(2, 4, *size, dtype=torch.float64)
    expected = module.prob(features).flatten(1).softmax(1)
    weights = module.weights(features)
    torch.testing.assert_close(weights, expected, rtol=0, atol=1e-14)
    gradients = [
        torch.autograd.grad(
            (x * torch.arange(3)).sum(), [*module.prob.parameters()]
        )
        for x in (weights, expected)
    ]
    torch.testing.assert_close(*gradients, rtol=0, atol=1e-13)


def test_the_start():
    # Masks near 0.5, Dice near 1; 593,158 parameters per level.
    torch.manual_seed(0)
    module = ReceptiveTokens(256)
    assert sum(p.numel() for p in module.parameters()) == 593158
    assert module.mask_token.std().item() == pytest.approx(0.01, rel=0.1)
    first, _, last = module.prob
    fan_out = 256 * 9
    expected = (2 / fan_out) ** 0.5
    assert first.weight.std().item() == pytest.approx(expected, rel=0.02)
    assert last.weight.std().item() == pytest.approx((2 / 6) ** 0.5, rel=0.1)
    assert not first.bias.any()
    masks = module.masks(torch.randn(1, 256, 20, 20))
    assert (masks - 0.5).abs().mean() < 0.05


def test_one_token_is_refused():
    with pytest.raises(ValueError, match='num_tokens must be an integer >= 2'):
        ReceptiveTokens(4, 1)


def test_half_precision_features():
    module = ReceptiveTokens(4, 3)
    features = torch.randn(2, 4, 5, 6)
    half = features.bfloat16()
    masked, masks = module(half)
    assert (masked.dtype, masks.dtype) == (torch.bfloat16, torch.float32)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        inside = module.weights(features)
    assert torch.equal(inside, module.weights(features))


@pytest.mark.parametrize('weighting', [True, False])
def test_a_file_comes_back_as_it_was(tmp_path, weighting):
    kept = nn.ModuleList(ReceptiveTokens(c, 3, weighting) for c in (4, 6))
    path = str(tmp_path / 'new' / 'tokens.pth')
    write_tokens(path, kept, dict(at=dict(path='neck')))
    file = read_tokens(path)
    assert file.info == dict(at=dict(path='neck'))
    assert [m.channels for m in file.modules] == [4, 6]
    for key, value in kept.state_dict().items():
        assert torch.equal(file.modules.state_dict()[key], value)
    assert [p.name for p in (tmp_path / 'new').iterdir()] == ['tokens.pth']
    assert torch.load(path, weights_only=True)['info']


def save(path, state):
    torch.save(state, path)
    return str(path)


def net(channels=4, tokens=6, prefix='mask_modules.0.'):
    """Keys and shapes of one level of an official file."""
    shapes = {
        'mask_token': (tokens, channels),
        'prob.0.weight': (channels, channels, 3, 3),
        'prob.0.bias': (channels,),
        'prob.2.weight': (tokens, channels, 1, 1),
        'prob.2.bias': (tokens,),
    }
    return {prefix + k: torch.randn(v) for k, v in shapes.items()}


def test_an_official_file_of_a_detector(tmp_path):
    # The whole detector's checkpoint, mask modules among its keys.
    state = {'backbone.conv1.weight': torch.randn(2, 3, 1, 1)}
    for level in range(5):
        state |= net(prefix=f'distill_losses.x.mask_modules.{level}.')
    path = save(tmp_path / 'official.pth', dict(state_dict=state, meta={}))
    file = read_tokens(path)
    check_channels(file, [4] * 5)
    prefix = 'distill_losses.x.mask_modules.3.'
    assert torch.equal(
        file.modules[3].mask_token, state[f'{prefix}mask_token']
    )
    assert torch.equal(
        file.modules[3].prob[0].weight, state[f'{prefix}prob.0.weight']
    )


def test_an_official_file_of_a_segmentor(tmp_path):
    tokens = torch.randn(8, 19)
    file = read_tokens(save(tmp_path / 'm.pth', dict(mask_token=tokens)))
    assert file.modules[0].prob is None
    assert torch.equal(file.modules[0].mask_token, tokens)


def without(state, key):
    return {k: v for k, v in state.items() if k != key}


@pytest.mark.parametrize(
    ('state', 'message'),
    [
        (dict(weight=torch.ones(2)), 'holds no receptive tokens: .*weight'),
        (net(prefix='mask_modules.1.'), 'counted from 0'),
        (
            without(net(), 'mask_modules.0.mask_token'),
            'level 0 needs a mask_token .* got none',
        ),
        (dict(mask_token=torch.ones(2)), r'got shape \(2,\)'),
        (dict(mask_token=torch.ones(1, 3)), 'level 0 has 1 token, expected'),
        (
            dict(mask_token=torch.ones(2, 3, dtype=torch.long)),
            'holds no receptive tokens',
        ),
        (
            net() | net(prefix='ema.mask_modules.0.'),
            r'several sets of tokens: ema\.',
        ),
        (dict(mask_token=torch.full((2, 3), float('nan'))), 'inf or NaN'),
        (
            without(net(), 'mask_modules.0.prob.2.bias'),
            'weighting net of level 0 does not belong.*prob\\.2\\.bias',
        ),
        (
            net() | {'mask_modules.0.mask_token': torch.ones(6, 5)},
            'does not belong to 6 tokens on 5 channels',
        ),
    ],
)
def test_files_that_are_refused(tmp_path, state, message):
    path = save(tmp_path / 'broken.pth', state)
    with pytest.raises(ValueError, match=f'{re.escape(path)}.*{message}'):
        read_tokens(path)


def test_what_is_no_file_of_weights(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r'token file does not exist.*train_maskd\.py'
    ):
        read_tokens(str(tmp_path / 'nowhere.pth'))
    for content in ([1], dict(a=1)):
        path = save(tmp_path / 'odd.pth', content)
        with pytest.raises(ValueError, match=r'the token file.*no weights'):
            read_tokens(path)


@pytest.mark.parametrize('content', [b'', b'no zip', b'PK\x03\x04 cut'])
def test_a_broken_file_is_no_traceback(tmp_path, content):
    path = tmp_path / 'cut.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'the token file, .*cut\.pth'):
        read_tokens(str(path))


def test_info_of_tokens_must_be_a_mapping(tmp_path):
    content = dict(state_dict=net(), info='mine')
    assert read_tokens(save(tmp_path / 't.pth', content)).info == {}


@pytest.mark.parametrize('channels', [[4], [4, 4, 4], [4, 6]])
def test_tokens_of_other_maps_are_refused(tmp_path, channels):
    file = read_tokens(save_tokens(tmp_path / 't.pth', 4, 4))
    with pytest.raises(
        ValueError,
        match=rf'2 levels of \[4, 4\].*{len(channels)} levels of',
    ):
        check_channels(file, channels)
