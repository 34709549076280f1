"""Arguments and launch of the tools that train and test.

The arguments are those of MMDetection's and MMSegmentation's own scripts.
Beyond them, CPU-only machines work, with one process or several.
"""

import argparse
import os
import os.path as osp
import warnings

from mmengine.config import Config, ConfigDict, DictAction
from mmengine.device import get_device
from mmengine.hooks import CheckpointHook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner

from mmdistill_dense.compat import config_path

from . import cpu


def base_parser(description: str) -> argparse.ArgumentParser:
    """Arguments that training and testing have in common."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        'config', help="config file, or 'package::path' of an installed one"
    )
    parser.add_argument('--work-dir', help='folder for logs and models')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config: a.b=1 c="[1,2]" d="[(1,2)]"; '
        'quotes are needed and no white space is allowed inside a value',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher',
    )
    # torch.distributed.launch passes --local-rank since torch 2.0.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
    return parser


def train_parser(description: str) -> argparse.ArgumentParser:
    """The base arguments, and those of training."""
    parser = base_parser(description)
    parser.add_argument(
        '--amp',
        action='store_true',
        help='automatic mixed precision training',
    )
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate with the real batch size',
    )
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        metavar='CHECKPOINT',
        help='resume from this checkpoint; without a value, from the latest '
        'one in the work dir',
    )
    return parser


def training_config(args: argparse.Namespace) -> Config:
    """Read the config and apply the training arguments."""
    cfg = load_config(args)
    if args.amp:
        set_amp(cfg)
    if args.auto_scale_lr:
        set_auto_scale_lr(cfg)
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    add_safety_hooks(cfg)
    return cfg


def add_safety_hooks(cfg: Config) -> None:
    """Save whole, resumable checkpoints, and stop at losses that are NaN.

    MMEngine's ``CheckpointHook`` becomes ``ResumableCheckpointHook``, and
    ``NonFiniteLossHook`` is added; a config that names its own keeps them.
    """
    hooks = cfg.get('default_hooks') or {}
    checkpoint = hooks.get('checkpoint', dict(interval=1))
    if checkpoint and _is_checkpoint_hook(checkpoint):
        kind = 'mmdistill_dense.ResumableCheckpointHook'
        cfg.default_hooks = dict(hooks, checkpoint=dict(checkpoint, type=kind))
    custom = list(cfg.get('custom_hooks') or [])
    if not any('NonFiniteLossHook' in str(hook['type']) for hook in custom):
        custom.append(dict(type='mmdistill_dense.NonFiniteLossHook'))
    cfg.custom_hooks = custom


def _is_checkpoint_hook(cfg: dict) -> bool:
    """Whether it is MMEngine's own, by a name, a full path or as a class."""
    kind = cfg.get('type', CheckpointHook)
    if kind is CheckpointHook:
        return True
    name = str(kind)
    return name == 'CheckpointHook' or (
        name.startswith('mmengine.') and name.endswith('.CheckpointHook')
    )


def load_config(args: argparse.Namespace) -> Config:
    """Read ``args.config``, merge ``--cfg-options``, set the work dir."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = Config.fromfile(config_path(args.config))
    cfg.launcher = args.launcher
    if args.cfg_options is not None:
        cfg.merge_from_dict(args.cfg_options)
    name = osp.splitext(osp.basename(args.config))[0]
    cfg.work_dir = (
        args.work_dir or cfg.get('work_dir') or osp.join('work_dirs', name)
    )
    if get_device() == 'cpu':
        cpu.prepare(cfg)
    return cfg


def build_runner(cfg: Config) -> Runner:
    """Build the Runner that the config names."""
    if 'runner_type' in cfg:
        return RUNNERS.build(cfg)
    return Runner.from_cfg(cfg)


def set_amp(cfg: Config) -> None:
    """``--amp``: turn the config's optimizer wrapper into the AMP one."""
    wrapper: ConfigDict = cfg.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper'):
        raise SystemExit(
            '--amp replaces optim_wrapper.type=OptimWrapper, but the config '
            f'has {kind!r}. Write the AMP settings into the config instead.'
        )
    if get_device() == 'cpu':
        raise SystemExit(
            "--amp needs an accelerator: MMEngine's AmpOptimWrapper does not "
            'run on a CPU. Leave it out.'
        )
    if kind == 'AmpOptimWrapper':
        warnings.warn('AMP is already on in the config.', stacklevel=2)
        return
    wrapper.type = 'AmpOptimWrapper'
    wrapper.loss_scale = 'dynamic'


def set_auto_scale_lr(cfg: Config) -> None:
    """``--auto-scale-lr``: scale the rate with the real batch size."""
    if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
        raise SystemExit(
            '--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=N) in '
            'the config, N being the batch size its learning rate is for.'
        )
    cfg.auto_scale_lr.enable = True
