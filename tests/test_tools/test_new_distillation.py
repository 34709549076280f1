"""A config for a pair of one's own, written, read again and built."""

from pathlib import Path

import pytest
import torch

from mmdistill_dense.drafting import METHODS, writing
from mmdistill_dense.drafting.options import Draft
from mmdistill_dense.models.utils import build_model

from ..helpers.configs import preset
from ..helpers.models import cwd, mask_rcnn, pspnet
from ..helpers.runs import distilled
from ..test_models import zoo
from .pairs import write_config

OTHER_CLASSES = 'not logits: the student has 4 classes, the teacher 7'


def test_detectors_compare_their_necks(stock, draft):
    text, cfg = draft(stock('narrow'), stock('wide'))
    assert cfg.model.terms == preset('cwd_openmmlab-det')
    assert 'neck: 32 channels at stride 4, 8, 16, 32, 64 (student)' in text
    assert 'ConvConnector 32 -> 48' in text
    assert 'python tools/train.py my.py' in text
    assert 'mim train mmdistill_dense my.py' in text


def test_segmentors_of_equal_classes_compare_logits(stock, draft):
    text, cfg = draft(stock('seg'), stock('big'))
    assert cfg.model.terms == preset('cwd_paper-logits')
    assert 'logits: 4 channels at stride 8 (student)' in text


def test_a_note_compares_the_classes_of_two_data_sets(stock, draft):
    student = stock('seg', dataset_type='A')
    text, _ = draft(student, stock('big', dataset_type='B'))
    assert 'The data sets differ' in text


def test_segmentors_of_other_classes_compare_features(stock, draft):
    text, cfg = draft(stock('seg'), stock('other'))
    term = cfg.model.terms.cwd
    assert term.at == dict(path='logits', take='input')
    expected = preset('cwd_paper-features').cwd_features
    assert {**term, 'at': 0} == {**expected, 'at': 0}
    assert OTHER_CLASSES in text


@pytest.mark.parametrize('pair', [('narrow', 'big'), ('seg', 'wide')])
def test_models_of_both_hosts_compare_backbones(stock, draft, pair):
    text, cfg = draft(*map(stock, pair))
    term = cfg.model.terms.cwd
    expected = preset('cwd_openmmlab-det').cwd
    assert (term.at, term.loss) == ('backbone', expected.loss)
    assert 'not logits: one is a segmentor' in text
    assert 'not neck: one or both have none' in text


def test_frozen_levels_get_no_weight(stock, draft, tmp_path):
    frozen = mask_rcnn()
    frozen.backbone.frozen_stages = 1
    student = write_config(tmp_path / 'frozen.py', frozen)
    text, cfg = draft(student, stock('big'))
    assert cfg.model.terms.cwd.level_weights == [0.0, 1.0, 1.0, 1.0]
    assert 'Levels of frozen stages get weight 0' in text
    frozen.backbone.frozen_stages = 4
    student = write_config(tmp_path / 'frozen.py', frozen)
    with pytest.raises(SystemExit, match='all of it is frozen'):
        draft(student, stock('big'), '--force')


@pytest.mark.parametrize(
    'method', sorted({*METHODS} - {'fgd', 'ld', 'crosskd'})
)
def test_methods_that_draft_for_segmentors(stock, draft, method):
    _, cfg = draft(stock('seg'), stock('big'), '--method', method)
    assert cfg.model.terms


def test_pixel_wise_compares_logits(stock, draft):
    pair = stock('seg'), stock('big')
    text, cfg = draft(*pair, '--method', 'pixel-wise')
    assert cfg.model.terms == preset('pixel-wise_logits')
    assert 'PIXEL-WISE: seg learns from big.' in text


@pytest.mark.parametrize(
    ('pair', 'reason'),
    [
        (('narrow', 'wide'), 'not logits: both models must be segmentors'),
        (('seg', 'wide'), 'not logits: both models must be segmentors'),
        (('seg', 'other'), OTHER_CLASSES),
    ],
)
def test_pixel_wise_compares_nothing_but_logits(stock, draft, pair, reason):
    with pytest.raises(SystemExit, match=reason):
        draft(*map(stock, pair), '--method', 'pixel-wise')


@pytest.mark.parametrize(
    ('method', 'pair', 'name'),
    [
        ('pkd', ('narrow', 'wide'), 'pkd_two-stage'),
        ('mgd', ('narrow', 'wide'), 'mgd_two-stage'),
        ('hints', ('narrow', 'wide'), 'hints_det'),
        ('cosine', ('narrow', 'wide'), 'cosine_mlp'),
        ('mgd', ('seg', 'big'), 'mgd_seg'),
        ('hints', ('seg', 'other'), 'hints_seg'),
    ],
)
def test_feature_methods_draft_the_module_of_their_preset(
    stock, draft, method, pair, name
):
    _, cfg = draft(*map(stock, pair), '--method', method)
    term = dict(preset(name)[method])
    term.pop('level_weights', None)
    assert cfg.model.terms == {method: term}


@pytest.mark.parametrize('method', ['pkd', 'mgd', 'hints', 'cosine'])
def test_feature_methods_fall_back_to_backbones(stock, draft, method):
    text, cfg = draft(stock('narrow'), stock('big'), '--method', method)
    assert cfg.model.terms[method].at == 'backbone'
    assert 'not neck: one or both have none' in text


def test_fgd_compares_the_convolutions_of_necks(stock, draft, tmp_path):
    fgd = '--method', 'fgd'
    text, cfg = draft(stock('narrow'), stock('wide'), *fgd)
    assert cfg.model.terms == preset('fgd_two-stage')
    assert "authors' for two-stage detectors" in text
    dense = write_config(tmp_path / 'dense.py', zoo.retinanet())
    _, cfg = draft(dense, dense, *fgd, out='dense.py')
    assert cfg.model.terms == preset('fgd_one-stage')
    other = write_config(tmp_path / 'other.py', zoo.yolox())
    text, cfg = draft(other, other, *fgd, out='other.py')
    assert cfg.model.terms.fgd.at == 'neck'
    assert 'not neck.fpn_convs' in text


@pytest.mark.parametrize('pair', [('seg', 'big'), ('seg', 'wide')])
def test_fgd_compares_nothing_without_boxes(stock, draft, pair):
    reason = 'FGD needs boxes, so the student must be a detector'
    with pytest.raises(SystemExit, match=reason):
        draft(*map(stock, pair), '--method', 'fgd')


@pytest.mark.parametrize(
    ('method', 'name', 'terms'),
    [
        ('ld', 'gfl', 'ld'),
        ('crosskd', 'gfl', 'crosskd_gfl'),
        ('crosskd', 'retinanet', 'crosskd_retinanet'),
    ],
)
def test_dense_heads_of_one_kind_get_the_preset(
    tmp_path, draft, method, name, terms
):
    build = getattr(zoo, name)
    student, teacher = (
        write_config(tmp_path / f'{side}.py', build())
        for side in ('small', 'large')
    )
    text, cfg = draft(student, teacher, '--method', method)
    assert cfg.model.terms == preset(terms)
    assert 'head: ' in text
    assert f'{method.upper()}: small learns from large.' in text


@pytest.mark.parametrize(
    ('method', 'pair', 'kinds'),
    [
        ('ld', ('retinanet', 'retinanet'), 'GFL'),
        ('crosskd', ('gfl', 'retinanet'), 'GFL or RetinaNet'),
        ('crosskd', ('mask_rcnn', 'mask_rcnn'), 'GFL or RetinaNet'),
    ],
)
def test_other_heads_are_refused_in_a_sentence(
    tmp_path, draft, method, pair, kinds
):
    builds = dict(vars(zoo), mask_rcnn=mask_rcnn)
    files = [
        write_config(tmp_path / f'{k}_{name}.py', builds[name]())
        for k, name in enumerate(pair)
    ]
    with pytest.raises(
        SystemExit, match=f'the same dense head on both sides, of {kinds}'
    ):
        draft(*files, '--method', method)


def test_hooks_of_the_base_are_kept(stock, draft):
    balance = dict(type='mmdistill_dense.TermBalanceHook', interval=50)
    hooks = [dict(type='EMAHook', momentum=0.01)]
    _, cfg = draft(stock('seg', custom_hooks=hooks), stock('big'))
    assert cfg.custom_hooks == [*hooks, balance]
    _, cfg = draft(stock('seg'), stock('big'), out='bare.py')
    assert cfg.custom_hooks == [balance]


def test_files_are_found_from_any_folder(stock, draft, tmp_path):
    weights = tmp_path / 'weights.pth'
    torch.save({}, weights)
    stock('big')
    text, cfg = draft(
        stock('seg'),
        *('../configs/big.py', '--checkpoint', '../weights.pth'),
        out='made/here/my.py',
    )
    assert 'is not there yet' not in text
    assert cfg.model.teacher.checkpoint.endswith('../../../weights.pth')
    assert torch.load(cfg.model.teacher.checkpoint) == {}
    assert build_model(cfg).distill.teachers['teacher'].route == 'decode'


def test_our_own_base_is_named_by_its_path(stock, draft):
    # A stock train.py could not look up mmdistill_dense:: in _base_.
    own = 'mmdistill_dense::camvid/pspnet_r18-w16-d8_camvid-128x160.py'
    text, cfg = draft(own, own, '--checkpoint', 'gone.pth')
    assert 'mmdistill_dense::' not in text.partition('model = ')[0]
    assert cfg.model.teacher.cfg == own
    assert 'gone.pth is not there yet' in text


def test_without_a_checkpoint_training_refuses_to_start(stock, draft):
    text, cfg = draft(stock('seg'), stock('big'))
    assert 'The teacher has no checkpoint yet' in text
    assert 'checkpoint=None),  # set a file or an address' in text
    model = build_model(cfg)
    with pytest.raises(ValueError, match='has no checkpoint, so it would'):
        model.distill.load_teachers_and_losses(next(model.parameters()))


def test_the_size_of_the_dry_run_can_be_given(stock, draft):
    _, cfg = draft(stock('seg'), stock('big'), '--input-size', '64', '96')
    assert cfg.model.input_size == (64, 96)


def test_an_existing_file_is_overwritten_only_by_force(stock, draft):
    pair = stock('seg'), stock('big')
    draft(*pair)
    with pytest.raises(SystemExit, match=r'my\.py exists: choose another'):
        draft(*pair)
    draft(*pair, '--force')


def test_what_it_is_made_from_is_never_overwritten(stock, draft, tmp_path):
    base, teacher = stock('seg'), stock('big')
    student = tmp_path / 'child.py'
    student.write_text(f"_base_ = '{base}'\n")
    before = {p: p.read_bytes() for p in map(Path, (base, teacher, student))}
    for path in before:
        with pytest.raises(
            SystemExit, match='would overwrite a source of the new'
        ):
            draft(student, teacher, '--force', out=str(path))
    assert before == {path: path.read_bytes() for path in before}


def test_refusals_are_sentences(stock, draft, tmp_path):
    seg = stock('seg')
    model = distilled(pspnet(), dict(cfg=pspnet()), dict(kd=cwd('backbone')))
    kd = write_config(tmp_path / 'kd.py', model, 'mmseg')
    with pytest.raises(SystemExit, match='a distillation config already'):
        draft(kd, seg)
    with pytest.raises(SystemExit, match=r"config 'gone\.py' does not exist"):
        draft('gone.py', seg)
    with pytest.raises(SystemExit, match=r"config 'gone\.py' does not exist"):
        draft(seg, 'gone.py')
    with pytest.raises(SystemExit, match=r'a config is a \.py file'):
        draft(seg, seg, out='my.yaml')


def test_a_pair_that_cannot_be_aligned_is_described(stock, draft, tmp_path):
    student = pspnet()
    student.backbone.update(out_indices=(2, 3), strides=(1, 2, 1, 1))
    student.backbone.dilations = (1, 1, 2, 4)
    student.pop('auxiliary_head')
    student.decode_head.in_index = 1
    path = write_config(tmp_path / 'few.py', student)
    with pytest.raises(SystemExit, match='nothing of EncoderDecoder') as error:
        draft(path, stock('wide'))
    assert '2 student levels' in str(error.value)
    assert '4 teacher levels' in str(error.value)
    assert '--list' in str(error.value)


def test_what_cannot_be_built_is_not_left_behind(
    stock, draft, tmp_path, monkeypatch
):
    def wrong(student, teacher):
        return Draft(dict(mask=cwd('nekc')), 'A note.', [])

    monkeypatch.setitem(writing.METHODS, 'cwd', wrong)
    with pytest.raises(SystemExit, match="no module matches 'nekc'"):
        draft(stock('seg'), stock('big'))
    assert list((tmp_path / 'project').iterdir()) == []
