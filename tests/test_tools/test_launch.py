"""Arguments of the tools, and what they change in a config."""

import argparse
import os
import runpy
import sys
from pathlib import Path

import pytest
import torch.distributed as dist
from mmengine.config import Config

from mmdistill_tools import cpu, launch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """Forget the launch variables that a test or an outer launcher set."""
    for name in ('LOCAL_RANK', 'RANK', 'WORLD_SIZE', 'MASTER_ADDR'):
        monkeypatch.setenv(name, '')
        monkeypatch.delenv(name)


@pytest.fixture
def on_cpu(monkeypatch):
    monkeypatch.setattr(launch, 'get_device', lambda: 'cpu')


@pytest.fixture
def on_gpu(monkeypatch):
    monkeypatch.setattr(launch, 'get_device', lambda: 'cuda')


def parse(*argv: str) -> argparse.Namespace:
    return launch.base_parser('test').parse_args(argv)


def config_file(folder: Path, text: str) -> str:
    path = folder / 'tiny.py'
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize('flag', ['--local_rank', '--local-rank'])
def test_local_rank_is_taken_in_both_spellings(flag, tmp_path):
    path = config_file(tmp_path, 'a = 1')
    launch.load_config(parse(path, f'{flag}=3'))
    assert os.environ['LOCAL_RANK'] == '3'


def test_environment_outranks_the_local_rank_argument(tmp_path, monkeypatch):
    monkeypatch.setenv('LOCAL_RANK', '1')
    launch.load_config(parse(config_file(tmp_path, ''), '--local-rank=3'))
    assert os.environ['LOCAL_RANK'] == '1'


def test_work_dir_argument_then_config_then_name(tmp_path):
    plain = config_file(tmp_path, 'a = 1')
    assert launch.load_config(parse(plain)).work_dir == 'work_dirs/tiny'
    named = config_file(tmp_path, "work_dir = 'there'")
    assert launch.load_config(parse(named)).work_dir == 'there'
    args = parse(named, '--work-dir', 'here')
    assert launch.load_config(args).work_dir == 'here'


def test_cfg_options_reach_nested_settings(tmp_path):
    path = config_file(tmp_path, 'model = dict(a=1, b=dict(c=2))')
    args = parse(path, '--cfg-options', 'model.b.c=[3,4]', 'model.d=x')
    assert launch.load_config(args).model == dict(a=1, b=dict(c=[3, 4]), d='x')


def test_config_of_an_installed_package_is_found():
    path = 'mmdet::_base_/models/retinanet_r50_fpn.py'
    cfg = launch.load_config(parse(path))
    assert cfg.model.bbox_head.type == 'RetinaHead'
    assert cfg.work_dir == 'work_dirs/retinanet_r50_fpn'


def test_missing_config_is_named():
    with pytest.raises(FileNotFoundError, match=r'nowhere\.py'):
        launch.load_config(parse('nowhere.py'))


def test_unknown_argument_is_refused(capsys):
    with pytest.raises(SystemExit, match='2'):
        parse('config.py', '--amp-level', 'O1')
    assert '--amp-level' in capsys.readouterr().err


def test_sync_bn_becomes_bn_everywhere_with_a_warning(tmp_path, on_cpu):
    path = config_file(
        tmp_path,
        "norm = dict(type='SyncBN', requires_grad=True)\n"
        'model = dict(backbone=dict(norm_cfg=norm), heads=[dict(n=norm)], '
        "extra=(dict(type='MMSyncBN'), dict(type='LN')))",
    )
    with pytest.warns(UserWarning, match='BN takes its place'):
        cfg = launch.load_config(parse(path))
    assert cfg.model.backbone.norm_cfg == dict(type='BN', requires_grad=True)
    assert cfg.model.heads[0].n.type == 'BN'
    assert [part.type for part in cfg.model.extra] == ['BN', 'LN']


@pytest.mark.filterwarnings('error')
def test_without_sync_bn_there_is_no_warning(tmp_path, on_cpu):
    path = config_file(tmp_path, "norm = dict(type='BN')")
    assert launch.load_config(parse(path)).norm.type == 'BN'


def test_gpu_run_keeps_sync_bn_and_the_wrapper(tmp_path, on_gpu):
    path = config_file(tmp_path, "norm = dict(type='SyncBN')")
    cfg = launch.load_config(parse(path, '--launcher', 'pytorch'))
    assert cfg.norm.type == 'SyncBN'
    assert 'model_wrapper_cfg' not in cfg


@pytest.mark.parametrize(
    ('launcher', 'first'),
    [
        ('pytorch', 'RANK'),
        ('slurm', 'SLURM_PROCID'),
        ('mpi', 'OMPI_COMM_WORLD_RANK'),
    ],
)
def test_launcher_without_its_variables_is_refused(launcher, first, tmp_path):
    cfg = Config(dict(launcher=launcher))
    message = f'--launcher {launcher} reads {first}, which is not set'
    with pytest.raises(SystemExit, match=message):
        cpu.prepare(cfg)


def test_slurm_over_several_machines_needs_an_address(monkeypatch):
    for name in ('SLURM_PROCID', 'SLURM_LOCALID'):
        monkeypatch.setenv(name, '0')
    monkeypatch.setenv('SLURM_NTASKS', '2')
    monkeypatch.setenv('SLURM_NNODES', '2')
    with pytest.raises(SystemExit, match='needs MASTER_ADDR'):
        cpu.prepare(Config(dict(launcher='slurm')))


@pytest.mark.parametrize('find_unused', [False, True])
def test_cpu_wrapper_says_what_the_runner_would(find_unused, monkeypatch):
    monkeypatch.setattr(dist, 'is_initialized', lambda: True)
    cfg = Config(dict(launcher='pytorch', find_unused_parameters=find_unused))
    cpu.prepare(cfg)
    assert cfg.model_wrapper_cfg == dict(
        type='MMDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=find_unused,
        device_ids=None,
        output_device=None,
    )


def test_cpu_wrapper_of_the_config_is_kept(monkeypatch):
    monkeypatch.setattr(dist, 'is_initialized', lambda: True)
    cfg = Config(
        dict(launcher='pytorch', model_wrapper_cfg=dict(type='Own', a=1))
    )
    cpu.prepare(cfg)
    assert cfg.model_wrapper_cfg == dict(
        type='Own', a=1, device_ids=None, output_device=None
    )


def test_amp_without_an_accelerator_is_refused(on_cpu):
    cfg = Config(dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.0))))
    with pytest.raises(SystemExit, match='--amp needs an accelerator'):
        launch.set_amp(cfg)


def test_amp_turns_the_plain_wrapper_into_the_amp_one(on_gpu):
    cfg = Config(dict(optim_wrapper=dict(optimizer=dict(type='SGD', lr=1.0))))
    launch.set_amp(cfg)
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.optim_wrapper.loss_scale == 'dynamic'


def test_amp_already_on_is_said_and_kept(on_gpu):
    wrapper = dict(type='AmpOptimWrapper', loss_scale=512.0)
    cfg = Config(dict(optim_wrapper=wrapper))
    with pytest.warns(UserWarning, match='already on'):
        launch.set_amp(cfg)
    assert cfg.optim_wrapper == wrapper


def test_amp_refuses_another_wrapper(on_gpu):
    cfg = Config(dict(optim_wrapper=dict(type='ApexOptimWrapper')))
    with pytest.raises(SystemExit, match="config has 'ApexOptimWrapper'"):
        launch.set_amp(cfg)


@pytest.mark.parametrize(
    'settings', [{}, dict(auto_scale_lr=None), dict(auto_scale_lr={})]
)
def test_auto_scale_lr_needs_the_base_batch_size(settings):
    with pytest.raises(SystemExit, match='base_batch_size=N'):
        launch.set_auto_scale_lr(Config(settings))


def test_auto_scale_lr_is_switched_on():
    cfg = Config(dict(auto_scale_lr=dict(enable=False, base_batch_size=16)))
    launch.set_auto_scale_lr(cfg)
    assert cfg.auto_scale_lr == dict(enable=True, base_batch_size=16)


@pytest.mark.parametrize('script', ['train.py', 'test.py'])
def test_help_suits_mim(script, monkeypatch, capsys):
    """MIM passes ``--gpus`` to a script whose help mentions it."""
    path = str(ROOT / 'tools' / script)
    monkeypatch.setattr(sys, 'argv', [path, '-h'])
    monkeypatch.setenv('LOCAL_RANK', '0')
    with pytest.raises(SystemExit, match='0'):
        runpy.run_path(path, run_name='__main__')
    text = capsys.readouterr().out
    assert '--launcher' in text
    assert '--gpus' not in text
