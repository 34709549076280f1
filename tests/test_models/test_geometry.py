"""Which pixels a map covers: measured, and kept when grids differ."""

import pytest
import torch
from mmengine.registry import MODELS

from mmdistill_dense.functional import resample_to, resize_to
from mmdistill_dense.models.distillers.classes import SIDES
from mmdistill_dense.models.distillers.term import Term
from mmdistill_dense.models.hosts import FeatureSpec, dry_run
from mmdistill_dense.recorders import RecorderSet

from ..helpers.batches import segmentation_batch
from ..helpers.dots import SHAPES, Hat, Stock, centre_of_mass, dot, path_of_dot
from ..helpers.models import cwd, distiller, pspnet, save_weights
from . import zoo

CWD = dict(type='mmdistill_dense.ChannelWiseLoss')
#: Boxes of the padding and cropping inside a model.
EDGES = ('conv', 'pad', 'crop')


def look(model, size, path='backbone'):
    recorders = RecorderSet(model)
    recorders.add(model, 'key', path)
    return dry_run(model, recorders, ['key'], size).specs['key']


@pytest.mark.parametrize('edge', EDGES)
@pytest.mark.parametrize('stride', [4, 8, 14, 16, 28, 32, 12, 64])
def test_a_stride_is_measured_whatever_the_size(stride, edge):
    # At 64x64 patches of 14 that are cropped look like a stride of 16.
    for size in ((64, 64), (96, 128), (100, 130), (256, 256)):
        (spec,) = look(Stock(Hat(stride, edge)), size)
        assert spec.stride == (stride, stride)
        assert spec.coverage == 'strided'


def test_levels_of_stock_models_keep_their_strides():
    model = MODELS.build(zoo.retinanet())
    for size in ((64, 64), (96, 128), (100, 150)):
        strides = [spec.stride for spec in look(model, size, 'neck')]
        assert strides == [(s, s) for s in (4 * 2, 16, 32, 64, 128)]


def test_bins_divide_any_image():
    pool = torch.nn.AdaptiveAvgPool2d(6)
    model = Stock(torch.nn.Sequential(torch.nn.Conv2d(3, 1, 1), pool))
    (spec,) = look(model, (96, 128))
    assert spec.coverage == 'whole'
    assert spec.cell_size((6, 6), (90, 120)) == (15, 20)


def aligned_centres(student, teacher, size, shape, grid):
    """Centres of a dot that moves, in both maps of a term, in pixels."""
    models = [Stock(student), Stock(teacher)]
    specs = [look(model, size) for model in models]
    term = Term('kd', CWD, *specs, grid=grid)
    side = SIDES.index(grid)
    for centre in path_of_dot(shape):
        image = dot(shape, centre, radius=10)
        with torch.no_grad():
            maps = [list(model.extract_feat(image)) for model in models]
        aligned = term.align(0, *maps, shape)
        cell = specs[side][0].cell_size(maps[side][0].shape[-2:], shape)
        yield [centre_of_mass(aligned[n], cell) for n in SIDES]


@pytest.mark.parametrize('grid', ['student', 'teacher'])
@pytest.mark.parametrize('edge', EDGES)
@pytest.mark.parametrize('shape', SHAPES)
def test_a_dot_stays_at_its_pixels(shape, edge, grid):
    """With a teacher of patches of 14 pixels, built at another size."""
    centres = aligned_centres(Hat(8), Hat(14, edge), (96, 128), shape, grid)
    for student, teacher in centres:
        assert (student - teacher).abs().max() < 0.5


def test_equal_grids_of_other_strides_are_distinguished():
    # Seven cells each: of 14 pixels, and of 16 with a part of one.
    centres = aligned_centres(Hat(16), Hat(14), (98, 98), (98, 98), 'teacher')
    for student, teacher in centres:
        assert (student - teacher).abs().max() < 0.5


def test_maps_that_cover_the_same_pixels_are_resized_as_before():
    feature = torch.randn(1, 2, 8, 12)
    assert resample_to(feature, (8, 12), (1, 1)) is feature
    assert torch.equal(
        resample_to(feature, (4, 6), (2, 2)), resize_to(feature, (4, 6))
    )


@pytest.mark.parametrize('dtype', [torch.half, torch.bfloat16, torch.double])
def test_resampling_keeps_the_dtype_and_the_gradient(dtype):
    feature = torch.randn(1, 2, 8, 12).to(dtype).requires_grad_()
    sampled = resample_to(feature, (4, 5), (1.75, 2.1))
    assert sampled.dtype == dtype
    sampled.sum().backward()
    assert feature.grad.abs().sum() > 0


class Wandering(Hat):
    """As many cells as there are tens of pixels, and two at least."""

    def forward(self, images):
        size = [2 + (side * side) // 4096 for side in images.shape[-2:]]
        return (torch.nn.functional.adaptive_avg_pool2d(images, size),)


def test_no_constant_stride_is_refused_only_where_grids_differ():
    (odd,) = look(Stock(Wandering(8)), (96, 128))
    assert odd.coverage == 'unknown'
    (plain,) = look(Stock(Hat(8)), (96, 128))
    term = Term('kd', CWD, [odd], [plain])
    same = torch.ones(1, 3, 4, 6), torch.ones(1, 1, 4, 6)
    aligned = term.align(0, [same[0]], [same[1]])
    assert aligned['student'].shape[-2:] == (4, 6)
    with pytest.raises(
        RuntimeError,
        match=r'levels of other sizes, .* no constant stride that is a whole '
        r'number for 3 channels at stride .*Set input_size .*EncoderTeacher',
    ):
        term.align(0, [same[0]], [torch.ones(1, 1, 12, 16)])


def test_a_shape_that_breaks_the_stride_is_refused():
    spec = FeatureSpec((1, 4, 8, 8), (8, 8))
    assert spec.cell_size((12, 16), (96, 128)) == (8, 8)
    with pytest.raises(
        RuntimeError,
        match='a map of 8x8 cells for a batch of 96x128 pixels does not have '
        'the stride of the dry run, 4 channels at stride 8',
    ):
        spec.cell_size((8, 8), (96, 128))


def vit(**options):
    """A segmentor on a vision transformer with patches of 14 pixels."""
    cfg = pspnet(classes=4, **options)
    cfg.backbone = dict(
        type='VisionTransformer',
        img_size=(96, 128),
        patch_size=14,
        embed_dims=16,
        num_layers=1,
        num_heads=2,
        out_indices=(0,),
    )
    cfg.decode_head.update(in_channels=16, in_index=0)
    cfg.pop('auxiliary_head')
    return cfg


def test_patches_of_14_on_an_image_of_96_by_128(tmp_path):
    """It is padded inside to 98x140, a shift of up to 11 pixels before."""
    path = save_weights(vit(), tmp_path / 'vit.pth', scope='mmseg')
    at = dict(student='backbone.layer4', teacher='backbone')
    model = distiller(
        pspnet(),
        dict(cfg=vit(), checkpoint=path),
        dict(kd=cwd(at)),
        input_size=(96, 128),
    )
    term = model.distill.terms['kd']
    assert str(term.teacher_specs[0]) == '16 channels at stride 14'
    assert term.teacher_specs[0].shape[2:] == (7, 10)
    ramp = torch.arange(16.0).expand(1, 64, 12, 16) * 8 + 3.5
    connector, term.connectors[0] = term.connectors[0], torch.nn.Identity()
    teacher = [torch.zeros(1, 16, 7, 10)]
    seen = term.align(0, [ramp], teacher, (96, 128))['student'][0, 0, 0]
    # Centres of patches, in pixels; the last one lies in the padding.
    centres = torch.arange(10) * 14 + 6.5
    torch.testing.assert_close(seen[:9], centres[:9])
    term.connectors[0] = connector
    model.init_weights()
    batch = segmentation_batch(size=(90, 118))
    model.data_preprocessor.size = (91, 119)
    data = model.data_preprocessor(batch, True)
    assert data['inputs'].shape[-2:] == (91, 119)
    assert model(**data, mode='loss')['loss_kd'].isfinite()
