"""Training through the scripts: ours, the hosts', one process and two."""

import os
import re
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from ..helpers.runs import differing
from ..helpers.stack import ONEDL
from ..helpers.tool_runs import (
    TRAIN,
    run_script,
    write_distiller,
    write_student,
    write_teacher,
)

ITERS = 5
#: A plain term, one that begins late, one that ends early, one at rest.
TERMS = """dict(
        plain=dict(at={at!r}, loss=cwd),
        late=dict(at={at!r}, loss=cwd, schedule=dict(begin=3)),
        early=dict(at={at!r}, loss=cwd, schedule=dict(end=2)),
        off=dict(at={at!r}, loss=off){more})"""
LOSSES = """cwd = dict(type='mmdistill_dense.ChannelWiseLoss')
off = dict(type='mmdistill_dense.ChannelWiseLoss', loss_weight=0.0)
"""
SAVE = """custom_imports = dict(imports=['tests.helpers.tool_runs'])
custom_hooks = [
    dict(type='SaveEachRank'),
    dict(type='mmdistill_dense.TermBalanceHook', interval=2),
]
"""
AT = dict(mmdet='neck', mmseg='backbone')
#: What makes each teacher another model than its student.
WIDER = dict(
    mmdet={
        'model.neck.out_channels': 48,
        'model.rpn_head.in_channels': 48,
        'model.roi_head.bbox_roi_extractor.out_channels': 48,
        'model.roi_head.mask_roi_extractor.out_channels': 48,
        'model.roi_head.bbox_head.in_channels': 48,
        'model.roi_head.mask_head.in_channels': 48,
    },
    mmseg={
        'model.backbone.base_channels': 16,
        'model.backbone.stem_channels': 16,
        'model.decode_head.in_channels': 128,
        'model.auxiliary_head.in_channels': 64,
    },
)


@pytest.fixture(scope='module')
def students(data, tmp_path_factory):
    """Student file and teacher settings of each host."""
    folder = tmp_path_factory.mktemp('configs')
    found = {}
    for scope, options in WIDER.items():
        student = write_student(folder, data, scope, ITERS)
        weights = write_teacher(folder, student, options, scope)
        found[scope] = (
            student,
            dict(
                cfg=str(student), cfg_options=options, checkpoint=str(weights)
            ),
        )
    return found


def loss_of(text, name):
    """Logged values of one loss, in order."""
    return [float(v) for v in re.findall(rf'\b{name}: (\S+)', text)]


def check_schedules(text):
    assert all(value > 0 for value in loss_of(text, 'loss_plain'))
    values = {k: loss_of(text, f'loss_{k}') for k in ('late', 'early', 'off')}
    active = {k: [v > 0 for v in found] for k, found in values.items()}
    assert active == dict(
        late=[False] * 3 + [True] * 2,
        early=[True] * 2 + [False] * 3,
        off=[False] * 5,
    )


@pytest.mark.parametrize('scope', ['mmseg', 'mmdet'])
def test_two_processes_train_with_terms_that_come_and_go(
    students, tmp_path, scope
):
    student, teacher = students[scope]
    bases, more = [], ''
    if scope == 'mmseg':
        bases = ['mmdistill_dense::_base_/terms/cwd_paper-logits.py']
        more = ', **_base_.terms'
    config = write_distiller(
        student.parent,
        student,
        teacher,
        TERMS.format(at=AT[scope], more=more),
        bases=bases,
        extra=LOSSES + SAVE + 'find_unused_parameters = False',
    )
    code, text = run_script(TRAIN, config, '--work-dir', tmp_path, processes=2)
    assert code == 0, text[-3000:]
    check_schedules(text)
    assert text.count('Share of the loss') == ITERS // 2
    ranks = [
        torch.load(tmp_path / f'rank_{rank}.pth', weights_only=True)
        for rank in range(2)
    ]
    saved = torch.load(tmp_path / f'iter_{ITERS}.pth', weights_only=True)
    # Statistics of BatchNorm are each process's own, as in stock training.
    apart = [k for k in differing(*ranks) if 'running_' not in k]
    assert apart == []
    assert any(k.startswith('distill.terms.late') for k in ranks[0])
    assert not differing(ranks[0], saved['state_dict'])
    replaced = 'SyncBN works on GPUs only' in text
    assert replaced == (scope == 'mmseg')
    if scope == 'mmseg':
        assert len(loss_of(text, 'loss_cwd')) == ITERS
        assert any('running_' in k for k in differing(*ranks))


@pytest.mark.parametrize('scope', ['mmseg', 'mmdet'])
def test_the_hosts_own_scripts_train_our_config_without_custom_imports(
    students, tmp_path, scope
):
    if ONEDL and scope == 'mmseg':
        pytest.skip("OneDL's Config looks for 'mmsegmentation' by that name")
    student, teacher = students[scope]
    config = write_distiller(
        student.parent,
        student,
        teacher,
        TERMS.format(at=AT[scope], more=''),
        extra=LOSSES,
    )
    assert 'custom_imports' not in config.read_text()
    script = Path(find_spec(scope).origin).parent / '.mim/tools/train.py'
    code, text = run_script(script, config, '--work-dir', tmp_path)
    assert code == 0, text[-3000:]
    check_schedules(text)
    # The teacher's resolved config lies beside the log.
    (dumped,) = tmp_path.glob('*/teacher*.py')
    resolved = Config.fromfile(dumped)
    assert (
        resolved.model.type == ('MaskRCNN', 'EncoderDecoder')[scope == 'mmseg']
    )
    for key, value in WIDER[scope].items():
        node = resolved
        for part in key.split('.'):
            node = node[part]
        assert node == value


@pytest.fixture
def train(monkeypatch):
    """Run tools/train.py in this process."""
    monkeypatch.setenv('LOCAL_RANK', '0')

    def run(*args):
        argv = [str(TRAIN), *map(str, args)]
        monkeypatch.setattr(sys, 'argv', argv)
        runpy.run_path(str(TRAIN), run_name='__main__')

    return run


@pytest.fixture
def config(students):
    student, teacher = students['mmseg']
    return write_distiller(
        student.parent,
        student,
        teacher,
        TERMS.format(at='backbone', more=''),
        extra=LOSSES,
    )


@pytest.mark.filterwarnings('ignore:SyncBN works on GPUs only')
def test_training_goes_on_with_resume(config, train, tmp_path, capsys):
    train(
        config,
        '--work-dir',
        tmp_path,
        '--cfg-options',
        'train_cfg.max_iters=2',
        'default_hooks.checkpoint.interval=2',
    )
    capsys.readouterr()
    train(config, '--work-dir', tmp_path, '--resume')
    text = capsys.readouterr().out
    assert 'resumed epoch: 0, iter: 2' in text
    assert [v > 0 for v in loss_of(text, 'loss_late')] == [False, True, True]
    assert [v > 0 for v in loss_of(text, 'loss_early')] == [False] * 3
    assert (tmp_path / f'iter_{ITERS}.pth').exists()


@pytest.mark.filterwarnings('ignore:SyncBN works on GPUs only')
def test_every_field_of_the_teacher_is_reachable_from_the_command_line(
    config, train, tmp_path
):
    # base_channels comes from the config file, the dilation from here.
    train(
        config,
        '--work-dir',
        tmp_path,
        '--cfg-options',
        'train_cfg.max_iters=1',
        'model.teacher.cfg_options.model.backbone.contract_dilation=False',
    )
    (dumped,) = tmp_path.glob('*/teacher*.py')
    backbone = Config.fromfile(dumped).model.backbone
    assert backbone.contract_dilation is False
    assert backbone.base_channels == 16


@pytest.mark.filterwarnings('ignore:SyncBN works on GPUs only')
def test_amp_on_a_cpu_is_refused(config, train, tmp_path):
    if torch.cuda.is_available():
        pytest.skip('a GPU is there')
    with pytest.raises(SystemExit, match='--amp needs an accelerator'):
        train(config, '--work-dir', tmp_path, '--amp')


@pytest.mark.filterwarnings('ignore:SyncBN works on GPUs only')
def test_amp_refuses_a_wrapper_that_it_cannot_replace(config, train, tmp_path):
    with pytest.raises(SystemExit, match="but the config has 'DeepSpeed"):
        train(
            config,
            '--work-dir',
            tmp_path,
            '--amp',
            '--cfg-options',
            'optim_wrapper.type=DeepSpeedOptimWrapper',
        )


@pytest.mark.filterwarnings('ignore:SyncBN works on GPUs only')
def test_auto_scale_lr_needs_a_base_batch_size(config, train, tmp_path):
    with pytest.raises(SystemExit, match=r'auto_scale_lr=dict\(base_batch'):
        train(config, '--work-dir', tmp_path, '--auto-scale-lr')


def test_a_config_that_does_not_exist_is_named(train):
    with pytest.raises(FileNotFoundError, match=r"'nowhere\.py' does not"):
        train('nowhere.py')


def test_help_is_what_mim_expects(train, capsys):
    # mim runs `train.py -h` first and looks for --gpus in it.
    with pytest.raises(SystemExit, match='0'):
        train('-h')
    text = capsys.readouterr().out
    assert '--gpus' not in text
    for option in ('--work-dir', '--resume', '--amp', '--cfg-options'):
        assert option in text
    assert os.environ['LOCAL_RANK'] == '0'
