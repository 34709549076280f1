"""Training by the package's scripts and the hosts', in one process and two."""

import re
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from ..helpers.runs import differing
from ..helpers.stack import ONEDL
from ..helpers.tool_runs import (
    TRAIN,
    WIDER,
    run_here,
    run_script,
    write_distiller,
    write_pair,
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


@pytest.fixture(scope='module')
def students(data, tmp_path_factory):
    """Student file and teacher settings of each host."""
    folder = tmp_path_factory.mktemp('configs')
    return {scope: write_pair(folder, data, scope, ITERS) for scope in WIDER}


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


train = partial(run_here, 'train')


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
def test_training_goes_on_with_resume(config, tmp_path, capsys):
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
    config, tmp_path
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
