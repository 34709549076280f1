"""Files as they are published: every value lands, and nothing unnoticed."""

import pytest
import torch

from mmdistill_dense.models.encoders.layouts import LAYOUTS, rename_keys
from mmdistill_dense.models.pcd.heads import build_head
from mmdistill_dense.models.pcd.projection_teacher import (
    BackboneWithHead,
    ProjectionTeacher,
)
from mmdistill_dense.models.utils import plain_state
from mmdistill_dense.registry import MODELS

from . import official

SIZE = (64, 64)
#: Of a small head of three layers.
WIDTHS = (48, 40, 24)
VIT = dict(
    type='mmseg.VisionTransformer',
    patch_bias=True,
    final_norm=True,
    norm_cfg=dict(type='LN', eps=1e-6),
)
SMALL_VIT = dict(VIT, embed_dims=32, num_layers=2, num_heads=4, img_size=SIZE)


def resnet(width=64):
    return dict(type='mmdet.ResNet', depth=50, base_channels=width)


@pytest.fixture
def load(tmp_path):
    """``load(content, layout, backbone=..., ...)``: a loaded teacher."""

    def run(content, layout, backbone=None, **settings):
        path = str(tmp_path / 'some.pth.tar')
        torch.save(content, path)
        settings = dict(input_size=SIZE) | settings
        teacher = ProjectionTeacher(
            backbone or resnet(8), layout, path, **settings
        )
        teacher.load(torch.zeros(1))
        return teacher

    return run


def pooled(backbone, state, images):
    """What a stock backbone of these weights makes of images, on average."""
    model = MODELS.build(backbone)
    counters = {
        f'{name}.num_batches_tracked': torch.zeros((), dtype=torch.long)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.BatchNorm2d)
    }
    model.load_state_dict({**counters, **state})
    model.eval()
    with torch.no_grad():
        return model(images)[-1].mean((2, 3))


def head_of(name, state):
    """The head in a file, and the backbone in it, by their own keys."""
    _, encoder, prefix = official.FILES[name]
    head = official.within(state, prefix)
    parts = ('fc.', 'prototypes.', 'projection_head.')
    backbone = {
        key: value
        for key, value in official.within(state, encoder).items()
        if not key.startswith(parts)
    }
    names = official.neck if name.startswith('mmpretrain') else None
    return backbone, head, names


def close(found, expected):
    return (found - expected).abs().max() < 1e-4 * expected.abs().max()


def check_embedding(teacher, content, name, backbone, last_bn=False):
    """The mean over cells is what the published model gives an image."""
    images = torch.randn(2, 3, *SIZE)
    weights, head, names = head_of(name, official.tensors(content))
    x = pooled(backbone, weights, images)
    expected = official.embed(x, head, last_bn, names)
    maps = teacher.maps(images)
    assert maps.shape == (2, teacher.channels, 2, 2)
    assert close(maps.mean((2, 3)), expected)


@pytest.mark.parametrize(
    ('name', 'channels'), [('mocov3_resnet', 256), ('swav', 128)]
)
def test_a_file_of_full_size(load, name, channels):
    content = official.FILES[name][0]()
    teacher = load(content, name, resnet())
    assert teacher.channels == channels
    check_embedding(teacher, content, name, resnet())


@pytest.mark.parametrize('name', official.FILES)
def test_a_narrow_file_with_its_own_sizes(load, name):
    sizes = WIDTHS[-len(LAYOUTS[name].widths) :]
    content = official.FILES[name][0](8, sizes)
    teacher = load(content, name, head=dict(widths=sizes))
    check_embedding(teacher, content, name, resnet(8))


@pytest.mark.parametrize('name', ['mocov3_resnet', 'mmpretrain_mocov3'])
def test_the_last_batch_norm_can_be_kept(load, name):
    content = official.FILES[name][0](8, (40, 24))
    teacher = load(
        content, name, head=dict(widths=(40, 24)), keep_last_bn=True
    )
    check_embedding(teacher, content, name, resnet(8), last_bn=True)


@pytest.fixture(scope='module')
def full_resnet():
    with torch.device('meta'):
        return MODELS.build(resnet())


@pytest.mark.parametrize('name', official.FILES)
def test_keys_and_shapes_at_full_size(full_resnet, name):
    with torch.device('meta'):
        content = official.FILES[name][0]()
        head = build_head(None, LAYOUTS[name], 2048, False)
    check_shapes(content, name, BackboneWithHead(full_resnet, head))


def test_keys_and_shapes_of_the_vision_transformer_at_full_size():
    # mmseg's asks a tensor for its values while it is built.
    backbone = MODELS.build(VIT)
    with torch.device('meta'):
        content = official.mocov3_vit()
        head = build_head(None, LAYOUTS['mocov3_vit'], 768, False)
    check_shapes(content, 'mocov3_vit', BackboneWithHead(backbone, head))


def check_shapes(content, name, model):
    state = plain_state(official.tensors(content))
    found = rename_keys(state, LAYOUTS[name], len(model.head))
    expected = model.state_dict()
    assert {k: v.shape for k, v in found.items()} == {
        k: v.shape for k, v in expected.items()
    }


@pytest.mark.parametrize('last_bn', [False, True])
def test_a_vision_transformer_gives_the_tokens_of_timms(load, last_bn):
    content = official.mocov3_vit(32, 2, 16, WIDTHS)
    teacher = load(
        content,
        'mocov3_vit',
        SMALL_VIT,
        head=dict(widths=WIDTHS),
        keep_last_bn=last_bn,
    )
    images = torch.randn(2, 3, *SIZE)
    state = official.within(content['state_dict'], 'module.momentum_encoder.')
    tokens = official.vit_tokens(state, images, heads=4)[:, 1:]
    with torch.no_grad():
        maps = teacher.model.backbone(images)[-1]
    # (N, C, H, W) -> (N, L, C)
    assert close(maps.flatten(2).transpose(1, 2), tokens)
    head = official.within(state, 'head.')
    expected = official.embed(tokens.mean(1), head, last_bn)
    found = teacher.maps(images)
    assert found.shape == (2, 24, 4, 4)
    assert close(found.mean((2, 3)), expected)


#: What files have beside a backbone that is no projection head.
OTHERS = (
    'neck.lateral',
    'head.fc',
    'head.projector.0',
    'bbox_head.0',
    'mask_head.0.conv',
    'decode_head.0.conv',
    'roi_head.bbox_head.0.fc',
)


@pytest.mark.parametrize('prefix', ['backbone.', 'module.backbone.', ''])
def test_a_backbone_is_read_of_any_checkpoint(load, prefix):
    weights = official.resnet50(8)
    state = official.below(prefix, weights)
    if prefix:
        for other in OTHERS:
            state |= official.linear(other, 4, 4)
    else:
        state |= official.linear('fc', 256, 1000, bias=True)
    layout = 'openmmlab' if prefix else 'bare'
    teacher = load(dict(state_dict=state), layout)
    images = torch.randn(2, 3, *SIZE)
    expected = pooled(resnet(8), weights, images)
    assert close(teacher.maps(images).mean((2, 3)), expected)
    assert teacher.channels == 256


def test_a_head_beside_the_backbone_is_read_if_one_is_given(load):
    weights, head = official.resnet50(8), official.mlp(256, (40, 24))
    state = official.below('backbone.', weights) | official.below(
        'head.', head
    )
    listed = [
        dict(type='Linear', in_features=256, out_features=40, bias=False),
        dict(type='BatchNorm1d', num_features=40),
        dict(type='ReLU'),
        dict(type='Linear', in_features=40, out_features=24, bias=False),
    ]
    images = torch.randn(2, 3, *SIZE)
    x = pooled(resnet(8), weights, images)
    for form in (listed, dict(widths=(40, 24))):
        teacher = load(state, 'openmmlab', head=form)
        found = teacher.maps(images).mean((2, 3))
        assert close(found, official.embed(x, head))


@pytest.mark.parametrize(
    ('layout', 'prefix'), [('openmmlab', 'backbone.'), ('bare', '')]
)
def test_a_head_in_the_file_is_not_forgotten(load, layout, prefix):
    state = official.below(prefix, official.resnet50(8))
    state |= official.below('head.', official.mlp(256, (40, 24)))
    with pytest.raises(
        ValueError,
        match=r'some.pth.tar, has a projection head, head.<index>.\*, which '
        r'would be left out. Give it, .* or teacher.head=\[\] for none',
    ):
        load(state, layout)
    assert load(state, layout, head=[]).channels == 256
    assert load(state, layout, head=dict(widths=(40, 24))).channels == 24


def test_a_head_can_be_left_in_the_file(load):
    content = official.byol(8, (40, 24))
    weights, _, _ = head_of('byol', content['model'])
    teacher = load(content, 'byol', head=[])
    images = torch.randn(1, 3, *SIZE)
    expected = pooled(resnet(8), weights, images)
    assert close(teacher.maps(images).mean((2, 3)), expected)


def test_a_state_dict_saved_alone_will_do(load):
    content = official.mocov3_resnet(8, (40, 24))
    head = dict(widths=(40, 24))
    whole = load(content, 'mocov3_resnet', head=head)
    bare = load(plain_state(content['state_dict']), 'mocov3_resnet', head=head)
    assert whole.fingerprint == bare.fingerprint != ''


@pytest.fixture
def moco(load):
    """Load a small MoCo v3 file after a change to its tensors."""

    def run(change, **settings):
        content = official.mocov3_resnet(8, (40, 24))
        change(content['state_dict'])
        settings = dict(head=dict(widths=(40, 24))) | settings
        return load(content, 'mocov3_resnet', **settings)

    return run


ENCODER = 'module.momentum_encoder.'


def test_a_key_that_is_missing_is_named(moco):
    with pytest.raises(
        ValueError,
        match=r"of teacher 'teacher' does not fit its config \(\d+ tensors\): "
        r'.*\n  1 missing: backbone.layer2.0.conv1.weight\n'
        r'.*backbone.\* is read from momentum_encoder.\* in the file, '
        r'head.<index>.\* from momentum_encoder.fc.\*. Change '
        r'teacher.backbone, teacher.head or '
        r'teacher.layout, or name what may differ: teacher.allow',
    ):
        moco(lambda state: state.pop(f'{ENCODER}layer2.0.conv1.weight'))


@pytest.mark.parametrize(
    ('key', 'named'),
    [('extra.weight', 'backbone.extra.weight'), ('fc.6.weight', 'head.6')],
)
def test_a_key_that_nothing_takes_is_named(moco, key, named):
    with pytest.raises(ValueError, match=f'1 unexpected: {named}'):
        moco(lambda state: state.update({ENCODER + key: torch.zeros(1)}))


def test_another_shape_is_named_with_both(moco):
    with pytest.raises(
        ValueError,
        match=r'of another shape: head.0.weight \(40, 256\), expected '
        r'\(32, 256\)',
    ):
        moco(lambda state: None, head=dict(widths=(32, 24)))


def test_what_may_differ_is_listed(moco):
    def change(state):
        del state[f'{ENCODER}fc.0.weight']

    assert moco(change, allow='head.0.*').loaded
    with pytest.raises(ValueError, match=r'1 missing: head.0.weight'):
        moco(change, allow=['backbone.*'])


def test_a_transformer_without_its_biases_is_refused_with_a_hint(load):
    content = official.mocov3_vit(32, 2, 16, WIDTHS)
    backbone = {k: v for k, v in SMALL_VIT.items() if k != 'patch_bias'}
    with pytest.raises(
        ValueError,
        match=r'1 unexpected: backbone.patch_embed.projection.bias\n.*'
        r'mmseg.VisionTransformer needs patch_bias=True and final_norm=True',
    ):
        load(content, 'mocov3_vit', backbone, head=dict(widths=WIDTHS))


def small_files():
    files = {name: f[0] for name, f in official.FILES.items()}
    sizes = dict(barlow_twins=WIDTHS)
    made = {
        n: (lambda f=f, n=n: f(8, sizes.get(n, (40, 24))))
        for n, f in files.items()
    }
    made['mocov3_vit'] = lambda: official.mocov3_vit(32, 2, 16, WIDTHS)
    made['openmmlab'] = lambda: official.below(
        'backbone.', official.resnet50(8)
    )
    made['bare'] = lambda: official.resnet50(8) | official.linear('fc', 8, 8)
    return made


@pytest.mark.parametrize('really', small_files())
def test_a_file_of_another_layout_is_recognised(load, really):
    content = small_files()[really]()
    layout = 'swav' if really == 'byol' else 'byol'
    with pytest.raises(
        ValueError,
        match=rf"some.pth.tar, is not of layout '{layout}': expected keys .*, "
        rf"got .*looks like layout '{really}': set teacher.layout='{really}'",
    ):
        load(content, layout, head=dict(widths=(40, 24)))


@pytest.mark.parametrize('really', ['mmpretrain_mocov3', 'barlow_twins'])
def test_backbone_keys_alone_do_not_make_a_layout(load, really):
    """One keeps the online encoder there; both have a head elsewhere."""
    with pytest.raises(
        ValueError,
        match=r"not of layout 'openmmlab': expected keys such as backbone\.\*"
        rf", .*looks like layout '{really}': set teacher.layout='{really}'",
    ):
        load(small_files()[really](), 'openmmlab')


def test_an_exported_student_is_not_bare(load):
    with pytest.raises(
        ValueError,
        match=r"not of layout 'bare': expected keys such as conv1\.\*, got "
        r"backbone\.\*\. It looks like layout 'openmmlab': set",
    ):
        load(small_files()['openmmlab'](), 'bare')


def test_a_file_of_no_known_layout_is_refused_with_a_remedy(load):
    state = official.below('module.encoder_q.', official.resnet50(8))
    with pytest.raises(
        ValueError,
        match=r'such as backbone\.\*, got encoder_q\.\*. It looks like '
        r'none of mocov3_resnet, .*, bare: rename its keys to',
    ):
        load(dict(state_dict=state), 'openmmlab')


def test_a_layout_that_is_not_known_is_refused():
    with pytest.raises(
        ValueError,
        match=r"'mocov2' is not known. Choose one of mocov3_resnet,",
    ):
        ProjectionTeacher(resnet(8), 'mocov2')
