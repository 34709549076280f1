"""Teachers from other packages, drafted and inspected."""

import re
from importlib.util import find_spec

import pytest
import torch

from mmdistill_dense.drafting import encoder_names
from mmdistill_dense.drafting.text import packed_code
from mmdistill_dense.models.encoders import Encoder
from mmdistill_dense.models.utils import build_model

from ..helpers.configs import preset, read
from ..helpers.models import cwd, mask_rcnn, pspnet
from ..helpers.runs import distilled
from ..test_configs.test_encoders import TEACHERS
from .pairs import row, run_tool, write_config

TOKENS = """teacher = dict(
    type='mmdistill_dense.EncoderTeacher',
    model=dict(call='tests.helpers.networks.create_model', model_name='vit',
               num_classes=0),
    method='forward_features', multiple=14, checkpoint=None)
"""
MAPS = """teacher = dict(
    type='mmdistill_dense.EncoderTeacher', checkpoint='two.pth',
    model=dict(call='tests.helpers.networks.TwoLevels'),
    nodes='stem', output='maps', mean=127, std=128)
"""


@pytest.fixture
def encoder(tmp_path):
    def write(text=TOKENS):
        path = tmp_path / 'vit.py'
        path.write_text(text)
        return str(path)

    return write


def teacher_lines(text):
    (found,) = re.findall(
        r'^    teacher=dict\(.*?^    terms=', text, re.M | re.S
    )
    return found.splitlines()[:-1]


@pytest.mark.parametrize(
    ('student', 'stage'),
    [('seg', 'backbone.layer4'), ('narrow', 'backbone.layer3')],
)
def test_a_draft_takes_the_stage_of_the_nearest_stride(
    stock, draft, encoder, student, stage
):
    text, cfg = draft(stock(student), f'--encoder={encoder()}')
    term = cfg.model.terms.cwd
    assert term.at == dict(student=stage, teacher='backbone')
    assert term.loss == preset('cwd_encoder').cwd.loss
    assert ' learns from vit.' in text
    lines = teacher_lines(text)
    assert len(lines) <= 8
    assert all(len(line) <= 79 for line in lines)
    assert 'checkpoint=None),  # set a file or an address' in text
    assert 'resized to multiples of 14 pixels' in text
    assert 'The teacher has no checkpoint yet' in text


@pytest.mark.parametrize('method', ['pkd', 'mgd', 'hints', 'cosine'])
def test_other_methods_take_that_stage_too(stock, draft, encoder, method):
    text, cfg = draft(
        stock('seg'), f'--encoder={encoder()}', '--method', method
    )
    at = dict(student='backbone.layer4', teacher='backbone')
    assert cfg.model.terms[method].at == at
    assert 'Tune the weight for this teacher' in text


def test_its_nodes_are_recorded_where_they_are_maps(stock, draft, encoder):
    text, cfg = draft(stock('seg'), f'--encoder={encoder(MAPS)}')
    assert cfg.model.terms.cwd.at.teacher == 'backbone.model.stem'
    assert cfg.model.teacher.checkpoint == 'two.pth'
    assert 'no checkpoint yet' not in text


def test_a_draft_trains(stock, draft, encoder, tmp_path):
    model = dict(
        call='tests.helpers.networks.create_model',
        **dict(model_name='vit', num_classes=0),
    )
    file = tmp_path / 'weights.pth'
    torch.save(Encoder(model).model.state_dict(), file)
    _, cfg = draft(
        stock('seg'),
        *(f'--encoder={encoder()}', '--checkpoint', '../weights.pth'),
    )
    student = build_model(cfg)
    student.init_weights()
    assert len(student.distill.teachers['teacher'].fingerprint) == 8


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['--encoder=resnet'], 'resnet is not known. Choose one of dinov2'),
        ([], "expected the teacher's config or --encoder NAME"),
        (['t.py', '--encoder=dinov2-vits14'], 'config or --encoder NAME'),
        (['--encoder=other.py'], r'expected teacher=dict\(type='),
    ],
)
def test_what_is_no_encoder_is_refused(stock, draft, tmp_path, args, message):
    student = stock('seg')
    (tmp_path / 'project' / 'other.py').write_text('teacher = dict(cfg=1)')
    first, *rest = args or ['--force']
    with pytest.raises(SystemExit, match=message):
        draft(student, first, *rest)


def test_a_package_that_is_missing_is_named(stock, draft, encoder):
    gone = TOKENS.replace('tests.helpers.networks', 'no_such_package')
    with pytest.raises(SystemExit, match='pip install no_such_package'):
        draft(stock('seg'), f'--encoder={encoder(gone)}')


def test_a_method_for_logits_alone_is_refused(stock, draft, encoder):
    with pytest.raises(SystemExit, match='not logits: both models must be'):
        draft(
            stock('seg'),
            *(f'--encoder={encoder()}', '--method', 'pixel-wise'),
        )


def test_every_preset_can_be_drafted():
    assert encoder_names() == [path.stem for path in TEACHERS]
    for path in TEACHERS:
        code = packed_code(read(path).teacher.to_dict(), 4)
        assert len(code.splitlines()) <= 8, path
        assert eval(code) == read(path).teacher


@pytest.mark.skipif(
    find_spec('efficientnet_lite_pytorch') is None,
    reason='needs code from PyPI: pip install efficientnet-lite-pytorch',
)
def test_a_published_encoder_is_drafted(stock, draft):
    text, cfg = draft(stock('narrow'), '--encoder=efficientnet-lite2')
    assert cfg.model.terms.cwd.at == dict(
        student='backbone.layer3', teacher='backbone.model._blocks.14'
    )
    assert row(text, 'backbone.layer3')[3:6] == [
        *('backbone.model._blocks.14', '120x16x16', '16'),
    ]


@pytest.mark.parametrize(
    ('student', 'scope'), [(pspnet(), 'mmseg'), (mask_rcnn(), 'mmdet')]
)
def test_inspection_shows_such_a_teacher_and_its_cost(
    capsys, tmp_path, student, scope
):
    teacher = dict(
        type='mmdistill_dense.EncoderTeacher',
        model=dict(call='tests.helpers.networks.TwoLevels'),
        **dict(output='maps', drop='fc', mean=127, std=128, scale=2),
    )
    at = dict(student='backbone.layer4', teacher='backbone.model.stem')
    model = distilled(student, teacher, dict(kd=cwd(at)))
    path = write_config(tmp_path / 'kd.py', model, scope)
    text = run_tool(capsys, 'inspect_distiller', path)
    # Stride 4 on an image of twice the size.
    assert row(text, 'backbone.layer4')[3:6] == [
        *('backbone.model.stem', '4x128x128', '2'),
    ]
    assert 'sees images in its own form: mean [127.0, 127.0, 127.0]' in text
    assert 'resized by 2' in text
    # A convolution of 3x3 on 3 channels gives 4, at 32x32 cells of 64x64.
    assert row(text, 'teacher, as it runs')[1:3] == ['408', '221 k']
    assert row(text, 'backbone')[1:4] == ['Encoder', '408', 'in part, 33%']
