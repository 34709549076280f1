"""Arguments of the tools, and what they change in a config."""

import argparse
import os
from pathlib import Path

import pytest
import torch.distributed as dist
from mmengine.config import Config

from mmdistill_tools import cpu, launch

from ..helpers.tool_runs import run_here

WRAPPER = 'optim_wrapper = dict(type={!r}, loss_scale=512.0)'


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
    return launch.train_parser('test').parse_args(argv)


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


@pytest.mark.parametrize(
    ('given', 'wrapper'),
    [
        *(
            (
                dict(find_unused_parameters=unused),
                dict(
                    type='MMDistributedDataParallel',
                    broadcast_buffers=False,
                    find_unused_parameters=unused,
                ),
            )
            for unused in (False, True)
        ),
        (dict(model_wrapper_cfg=dict(type='Own')), dict(type='Own')),
    ],
)
def test_cpu_wrapper_says_what_the_runner_would(given, wrapper, monkeypatch):
    monkeypatch.setattr(dist, 'is_initialized', lambda: True)
    cfg = Config(dict(launcher='pytorch', **given))
    cpu.prepare(cfg)
    everywhere = dict(device_ids=None, output_device=None)
    assert cfg.model_wrapper_cfg == wrapper | everywhere


def training(folder: Path, option: str, text: str = '') -> Config:
    args = parse(config_file(folder, text), option)
    return launch.training_config(args)


def test_amp_without_an_accelerator_is_refused(tmp_path, on_cpu):
    with pytest.raises(SystemExit, match='--amp needs an accelerator'):
        training(tmp_path, '--amp', WRAPPER.format('OptimWrapper'))


def test_amp_turns_the_plain_wrapper_into_the_amp_one(tmp_path, on_gpu):
    cfg = training(tmp_path, '--amp', 'optim_wrapper = dict(a=1)')
    assert cfg.optim_wrapper == dict(
        type='AmpOptimWrapper', loss_scale='dynamic', a=1
    )


def test_amp_already_on_warns_and_is_kept(tmp_path, on_gpu):
    with pytest.warns(UserWarning, match='already on'):
        cfg = training(tmp_path, '--amp', WRAPPER.format('AmpOptimWrapper'))
    assert cfg.optim_wrapper.loss_scale == 512


def test_amp_refuses_another_wrapper(tmp_path, on_gpu):
    with pytest.raises(SystemExit, match="config has 'ApexOptimWrapper'"):
        training(tmp_path, '--amp', WRAPPER.format('ApexOptimWrapper'))


@pytest.mark.parametrize(
    'text', ['', 'auto_scale_lr = None', 'auto_scale_lr = dict(enable=True)']
)
def test_auto_scale_lr_needs_the_base_batch_size(tmp_path, text):
    with pytest.raises(SystemExit, match='base_batch_size=N'):
        training(tmp_path, '--auto-scale-lr', text)


def test_auto_scale_lr_is_switched_on(tmp_path):
    text = 'auto_scale_lr = dict(enable=False, base_batch_size=16)'
    cfg = training(tmp_path, '--auto-scale-lr', text)
    assert cfg.auto_scale_lr == dict(enable=True, base_batch_size=16)


@pytest.mark.parametrize(
    ('script', 'words'),
    [
        ('train', ('--work-dir', '--resume', '--amp', '--cfg-options')),
        ('train_maskd', ('--token-options', '--resume', 'token_cfg', 'skip')),
        ('test', ('--launcher',)),
    ],
)
def test_help_suits_mim(script, words, capsys):
    """MIM passes ``--gpus`` to a script whose help mentions it."""
    with pytest.raises(SystemExit, match='0'):
        run_here(script, '-h')
    text = capsys.readouterr().out
    assert [word for word in words if word not in text] == []
    assert '--gpus' not in text


RESUMABLE = 'mmdistill_dense.ResumableCheckpointHook'


@pytest.mark.parametrize(
    ('text', 'checkpoint'),
    [
        ('', dict(type=RESUMABLE, interval=1)),
        (
            "default_hooks = dict(checkpoint=dict(type='CheckpointHook', "
            'interval=3))',
            dict(type=RESUMABLE, interval=3),
        ),
        (
            'from mmengine.hooks import CheckpointHook\n'
            'default_hooks = dict(checkpoint=dict(type=CheckpointHook, '
            'interval=2))',
            dict(type=RESUMABLE, interval=2),
        ),
        (
            'default_hooks = dict(checkpoint=dict('
            "type='mmengine.hooks.CheckpointHook', interval=2))",
            dict(type=RESUMABLE, interval=2),
        ),
        (
            "default_hooks = dict(checkpoint=dict(type='own.CheckpointHook'))",
            dict(type='own.CheckpointHook'),
        ),
        ('default_hooks = dict(checkpoint=None)', None),
    ],
)
def test_checkpoints_become_resumable(tmp_path, text, checkpoint):
    cfg = launch.training_config(parse(config_file(tmp_path, text)))
    assert (cfg.get('default_hooks') or {}).get('checkpoint') == checkpoint


def test_a_loss_that_is_nan_stops_a_training_unless_the_config_knows(tmp_path):
    cfg = launch.training_config(parse(config_file(tmp_path, '')))
    kind = 'mmdistill_dense.NonFiniteLossHook'
    assert cfg.custom_hooks == [dict(type=kind)]
    text = (
        f"custom_hooks = [dict(type='EMAHook'), dict(type='{kind}', stop=0)]"
    )
    cfg = launch.training_config(parse(config_file(tmp_path, text)))
    assert [hook.type for hook in cfg.custom_hooks] == ['EMAHook', kind]
    assert not cfg.custom_hooks[1].stop
