"""A distillation seen without data, training or a teacher's weights."""

import pytest
from mmengine.config import Config

from mmdistill_dense.inspection import default_size
from mmdistill_dense.inspection.printing import format_count

from ..helpers.contrast import TEACHER, pcd
from ..helpers.models import cwd, mask_rcnn, pspnet, wide_mask_rcnn
from ..helpers.runs import distilled
from .pairs import row, run_tool, write_config

NOWHERE = 'nowhere/teacher.pth'


@pytest.fixture
def inspect(capsys):
    def call(*args):
        return run_tool(capsys, 'inspect_distiller', *args)

    return call


@pytest.fixture
def detector(tmp_path):
    """A neck of 32 channels that learns from one of 48."""
    teacher = dict(cfg=wide_mask_rcnn(), checkpoint=NOWHERE)
    terms = dict(
        kd=cwd('neck', schedule=dict(begin=7), level_weights=[1, 1, 1, 1, 2]),
        part=cwd(
            dict(student='neck.fpn_convs.{1..3}', teacher='neck.fpn_convs.*')
        ),
    )
    model = distilled(mask_rcnn(), teacher, terms)
    return write_config(tmp_path / 'kd.py', model, 'mmdet')


@pytest.fixture
def segmentor(tmp_path):
    other = pspnet(depth=50)
    other.data_preprocessor.mean = [1.0, 2.0, 3.0]
    model = distilled(
        pspnet(), dict(cfg=other), dict(kd=cwd('logits', tau=4.0, weight=3.0))
    )
    return write_config(tmp_path / 'kd.py', model, 'mmseg')


def test_every_level_has_a_row_with_both_sides(detector, inspect):
    text = inspect(detector)
    assert row(text, 'neck [4]') == [
        *('neck [4]', '32x4x4', '64', 'neck [4]', '48x4x4', '64'),
        *('ConvConnector 32 -> 48', '1.58 k', '2'),
    ]
    assert row(text, 'neck.fpn_convs.1')[3] == 'neck.fpn_convs.1'
    # The teacher's finest level has no partner.
    assert row(text, '-') == [
        '-',
        'neck.fpn_convs.0',
        '48x64x64',
        '4',
        'left out',
    ]
    assert 'ChannelWiseLoss(tau=1.0, loss_weight=1.0)' in text
    assert 'Schedule(begin=7' in text
    assert 'loss_part' in text
    assert 'images in its own form' not in text


def test_what_the_teacher_runs_is_found_by_running_it(detector, inspect):
    text = inspect(
        detector,
        '--cfg-options',
        'model.terms.kd.at=neck.fpn_convs.0.conv',
        'model.terms.kd.level_weights=None',
        'model.terms.part.at=neck.fpn_convs.1',
    )
    assert "route 'features'" in text
    assert row(text, 'backbone')[3] == 'in full'
    assert row(text, 'neck')[3].startswith('in part')
    assert row(text, 'rpn_head')[3:5] == ['not at all', '0']
    assert row(text, 'roi_head')[3:5] == ['not at all', '0']
    assert float(row(text, 'roi_head')[5].split()[0]) > 0


def test_a_term_on_a_box_head_and_what_is_inherited(tmp_path, inspect):
    loss = dict(type='mmdistill_dense.ImitationLoss')
    model = distilled(
        mask_rcnn(),
        dict(cfg=mask_rcnn(depth=50), checkpoint=NOWHERE),
        dict(reg=dict(at='roi_head.bbox_head.fc_reg', loss=loss)),
    )
    model['inherit'] = ['neck.fpn_convs.*', 'roi_head.bbox_head']
    text = inspect(write_config(tmp_path / 'kd.py', model, 'mmdet'))
    reg = 'roi_head.bbox_head.fc_reg'
    assert row(text, reg) == [reg, '12', '-', reg, '12', '-', 'none', '-', '1']
    assert "route 'rois'" in text
    assert row(text, 'rpn_head')[3:5] == ['not at all', '0']
    assert row(text, 'roi_head')[3].startswith('in part')
    assert 'counted with one RoI an image' in text
    assert 'Inherited: neck.fpn_convs.0, ' in text
    assert 'roi_head.bbox_head of the student: weights of teacher' in text


def test_the_cost_of_each_part(segmentor, inspect):
    text = inspect(segmentor, '--input-size', '64', '96')
    assert 'Cost of one 64x96 image' in text
    assert 'shapes   for an image of 64x96 pixels' in text
    assert row(text, 'decode_head.conv_seg')[1:3] == ['4x8x12', '8']
    assert row(text, 'connectors and losses') == [
        *('connectors and losses', '0', '0', 'yes, not in an export')
    ]
    as_it_runs = row(text, 'teacher, as it runs')
    assert as_it_runs[1:] == row(text, 'teacher, if run whole')[1:]
    assert as_it_runs[3] == 'no'
    assert row(text, 'auxiliary_head')[3] == 'not at all'
    assert 'A training step costs about' in text


def test_a_teacher_that_sees_other_images_is_named(segmentor, inspect):
    text = inspect(segmentor)
    assert 'teacher sees images in its own form: mean [1.0, 2.0, 3.0]' in text
    # The size comes from the crops.
    assert 'Cost of one 64x64 image' in text


def test_no_line_is_cut_or_wrapped_in_a_pipe(detector, inspect):
    text = inspect(detector)
    assert '…' not in text
    assert max(map(len, text.splitlines())) > 100
    assert all(line == line.rstrip() for line in text.splitlines())


def test_modules_are_listed_in_the_order_of_their_calls(detector, inspect):
    text = inspect(detector, '--list')
    names = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert names.index('backbone.layer4') < names.index('neck')
    assert row(text, 'neck') == [
        *('neck', 'FPN', 'features'),
        '32x64x64, 32x32x32, 32x16x16, 32x8x8, 32x4x4',
        '4, 8, 16, 32, 64',
    ]
    assert row(text, "'neck'")[1] == 'the whole neck'
    assert row(text, 'rpn_head.rpn_cls')[2] == 'tensor'
    assert row(text, 'roi_head.bbox_head')[3] == '4, 12 per RoI'
    assert 'not one per image' in row(text, 'roi_head.mask_head')[3]
    never = next(x for x in text.splitlines() if x.startswith('Never called'))
    assert {'neck.fpn_convs', 'roi_head'} <= set(
        never.rpartition(': ')[2].split(', ')
    )
    assert 'neck.fpn_convs.0.conv' not in names
    assert 'modules are not shown' in text


def test_a_list_can_be_narrowed(segmentor, inspect):
    text = inspect(segmentor, '--list', '--match', 'decode_head.*.conv')
    found = [line for line in text.splitlines() if 'Conv2d' in line]
    assert [line.split()[0] for line in found] == [
        *(f'decode_head.psp_modules.{i}.1.conv' for i in range(4)),
        'decode_head.bottleneck.conv',
    ]
    text = inspect(segmentor, '--list', '--depth', '1')
    assert row(text, 'backbone')[2] == 'features'
    assert row(text, "'logits'")[1] == 'decode_head.conv_seg'
    assert 'backbone.layer1' not in text


def test_a_stock_config_gets_a_sentence(tmp_path, inspect):
    path = write_config(tmp_path / 'stock.py', pspnet())
    with pytest.raises(SystemExit, match='config of a stock model'):
        inspect(path)
    assert 'decode_head.conv_seg' in inspect(path, '--list')


def test_a_pre_training_says_what_it_does(tmp_path, inspect):
    teacher = dict(backbone=TEACHER, checkpoint=NOWHERE)
    path = write_config(tmp_path / 'pcd.py', pcd(teacher), 'mmdet')
    text = inspect(path)
    assert 'student ResNet' in text
    assert "pairing 'cross'" in text
    assert '4x4 cells' in text
    assert '8x8 cells' in inspect(path, '--input-size', '128', '128')


def test_a_learner_of_tokens_says_what_it_does(tmp_path, inspect):
    model = dict(
        type='mmdistill_dense.MaskTokenLearner',
        teacher=dict(cfg=pspnet(), checkpoint=NOWHERE),
        at='logits',
        num_tokens=5,
        weighting=False,
    )
    path = write_config(tmp_path / 'tokens.py', model)
    assert "tokens on 'logits'" in inspect(path)


def test_refusals_are_sentences(segmentor, tmp_path, inspect):
    with pytest.raises(SystemExit, match=r"config 'gone\.py' does not exist"):
        inspect('gone.py')
    with pytest.raises(
        SystemExit, match="inspect_distiller: term 'kd', student: no module"
    ):
        inspect(segmentor, '--cfg-options', 'model.terms.kd.at=nekc')
    with pytest.raises(SystemExit, match=r'Nearest names: .*decode_head'):
        inspect(segmentor, '--list', '--match', 'decode_heed')
    empty = tmp_path / 'empty.py'
    empty.write_text('a = 1\n')
    with pytest.raises(SystemExit, match='holds no model'):
        inspect(empty)


@pytest.mark.parametrize(
    ('options', 'says'),
    [
        (('--match', 'neck'), 'filter what --list shows'),
        (('--list', '--depth', '-1'), "'-1' is no whole number above 0"),
        (('--input-size', '0', '64'), "'0' is no whole number above 0"),
    ],
)
def test_options_that_make_no_sense(segmentor, inspect, capsys, options, says):
    with pytest.raises(SystemExit, match='2'):
        inspect(segmentor, *options)
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ('entries', 'size'),
    [
        (dict(model=dict(input_size=(64, 96))), (64, 96)),
        (
            dict(
                model=dict(student=dict(data_preprocessor=dict(size=(4, 8))))
            ),
            (4, 8),
        ),
        (
            dict(
                model=dict(data_preprocessor=dict(pad_size_divisor=32)),
                test_pipeline=[dict(type='mmdet.Resize', scale=(1333, 800))],
            ),
            (800, 1344),
        ),
        (dict(model=dict(), test_pipeline=[dict(type='Pack')]), (512, 512)),
    ],
)
def test_the_size_is_what_the_config_is_made_for(entries, size):
    assert default_size(Config(entries)) == size


@pytest.mark.parametrize(
    ('number', 'text'),
    [(0, '0'), (999, '999'), (999.7, '1 k'), (1.234e10, '12.3 G')],
)
def test_amounts_have_three_figures(number, text):
    assert format_count(number) == text


def test_both_connectors_extras_through_and_share_are_shown(tmp_path, inspect):
    terms = dict(
        masked=cwd(
            'backbone',
            connector=dict(
                student=dict(type='mmdistill_dense.MaskedGenerator'),
                teacher=dict(type='mmdistill_dense.NormConnector'),
            ),
            share=0.25,
        ),
        cross=cwd(
            dict(
                student=dict(path='decode_head.bottleneck', take='input'),
                teacher='logits',
            ),
            through=['decode_head.bottleneck', 'decode_head.conv_seg'],
        ),
    )
    teacher = dict(cfg=pspnet(depth=50), checkpoint=NOWHERE)
    model = distilled(pspnet(), teacher, terms)
    text = inspect(write_config(tmp_path / 'kd.py', model, 'mmseg'))
    assert 'MaskedGenerator 64 -> 256, teacher: NormConnector' in text
    assert 'Share(0.25 of the gradient of the task)' in text
    assert (
        'student runs on through: decode_head.bottleneck, decode_head.conv_seg'
        in text
    )
    # 1x1 with bias, and two 3x3 of the teacher's channels with biases.
    count = 64 * 256 + 256 + 2 * (9 * 256 * 256 + 256)
    assert format_count(count) in text
    # The first module of the teacher takes 320 channels, its last gives 4.
    assert 'ConvConnector 128 -> 320' in text
    # A 3x3 convolution and the classifier, on 8x8 cells of one image.
    flops = 2 * 64 * (9 * 320 * 16 + 16 * 4)
    on_maps = row(text, "teacher, on the student's maps")
    assert on_maps[1:] == ['0', format_count(flops), 'no']
