"""Adapt a config written for GPUs to CPUs.

MMEngine's own launch calls ``torch.cuda.set_device``, and SyncBN exists for
GPUs only. GPU runs do not use this module.
"""

import os
import warnings

import torch.distributed as dist
from mmengine.config import Config

#: Environment variables of each launcher, by torch.distributed's name.
_RANK_VARIABLES = dict(
    pytorch=dict(
        RANK='RANK', WORLD_SIZE='WORLD_SIZE', LOCAL_RANK='LOCAL_RANK'
    ),
    slurm=dict(
        RANK='SLURM_PROCID',
        WORLD_SIZE='SLURM_NTASKS',
        LOCAL_RANK='SLURM_LOCALID',
    ),
    mpi=dict(
        RANK='OMPI_COMM_WORLD_RANK',
        WORLD_SIZE='OMPI_COMM_WORLD_SIZE',
        LOCAL_RANK='OMPI_COMM_WORLD_LOCAL_RANK',
    ),
)


def prepare(cfg: Config) -> None:
    """Replace SyncBN; with a launcher, start gloo and unbind DDP from GPUs."""
    if replace_sync_bn(cfg._cfg_dict):
        warnings.warn(
            'SyncBN works on GPUs only: BN takes its place in this CPU run. '
            'The names in the state dict stay the same.',
            stacklevel=3,
        )
    if cfg.launcher == 'none':
        return
    _start_gloo(cfg.launcher)
    if not cfg.get('model_wrapper_cfg'):
        # The Runner's defaults for DDP.
        cfg.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            broadcast_buffers=False,
            find_unused_parameters=cfg.get('find_unused_parameters', False),
        )
    cfg.model_wrapper_cfg.update(device_ids=None, output_device=None)


def replace_sync_bn(node: object) -> bool:
    """Replace every SyncBN below ``node`` by BN; returns whether any was."""
    found = False
    if isinstance(node, dict):
        if node.get('type') in ('SyncBN', 'MMSyncBN'):
            node['type'] = 'BN'
            found = True
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            found |= replace_sync_bn(child)
    return found


def _start_gloo(launcher: str) -> None:
    """Start the process group; MMEngine keeps an initialized one."""
    if dist.is_initialized():
        return
    for name, variable in _RANK_VARIABLES[launcher].items():
        if variable not in os.environ:
            raise SystemExit(
                f'--launcher {launcher} reads {variable}, which is not set: '
                'start this script through tools/dist_train.sh, '
                'tools/slurm_train.sh or mpirun.'
            )
        os.environ[name] = os.environ[variable]
    if launcher != 'pytorch':
        if int(os.environ.get('SLURM_NNODES', 1)) == 1:
            os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
        os.environ.setdefault('MASTER_PORT', '29500')
    if 'MASTER_ADDR' not in os.environ:
        raise SystemExit(
            f'--launcher {launcher} on CPUs needs MASTER_ADDR=<first host>: '
            'the processes would not find each other.'
        )
    dist.init_process_group('gloo')
