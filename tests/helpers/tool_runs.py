"""Config files on top of the hosts' stock ones, and runs of train.py."""

import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from unittest import mock

import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, MODELS, DefaultScope

from mmdistill_dense.compat import config_path

from .datasets import detection_dataset, segmentation_dataset
from .models import MASK_RCNN, PSPNET, mask_rcnn, pspnet

ROOT = Path(__file__).parents[2]
TOOLS = ROOT / 'tools'
TRAIN = TOOLS / 'train.py'
BASES = dict(mmdet=MASK_RCNN, mmseg=PSPNET)
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


def write_student(folder, data, scope, iters):
    """A small student on a stock config; returns the file's path.

    Its model says only what is smaller, so the stock ``SyncBN`` stays.
    """
    small = mask_rcnn() if scope == 'mmdet' else pspnet()
    stock = Config.fromfile(config_path(BASES[scope])).model.to_dict()
    dataset = detection_dataset if scope == 'mmdet' else segmentation_dataset
    entries = dict(
        model=changes(stock, small),
        train_dataloader=dict(
            _delete_=True,
            batch_size=2,
            num_workers=0,
            sampler=dict(type='InfiniteSampler', shuffle=True),
            dataset=dataset(data),
        ),
        optim_wrapper=dict(
            _delete_=True,
            type='OptimWrapper',
            optimizer=dict(type='SGD', lr=0.01, momentum=0.9),
        ),
        train_cfg=dict(
            _delete_=True,
            type='IterBasedTrainLoop',
            max_iters=iters,
            val_interval=1000,
        ),
        param_scheduler=[],
        default_hooks=dict(
            logger=dict(interval=1),
            checkpoint=dict(by_epoch=False, interval=iters),
        ),
        # Log what each iteration has, not a mean over ten.
        log_processor=dict(window_size=1, by_epoch=False),
        randomness=dict(seed=0),
    )
    lines = [f'_base_ = [{BASES[scope]!r}]']
    lines += [f'{name} = {value!r}' for name, value in entries.items()]
    for kind in ('val', 'test'):
        lines += [
            f'{kind}_{what} = None'
            for what in ('dataloader', 'evaluator', 'cfg')
        ]
    path = Path(folder) / f'{scope}_student.py'
    path.write_text('\n'.join(lines) + '\n')
    return path


def changes(stock, small):
    """What a config must say to turn ``stock`` into ``small``."""
    found = {}
    for key, value in small.items():
        if key == '_scope_' or value == stock.get(key):
            continue
        if key == 'type' and value == 'BN':
            continue
        if isinstance(value, dict) and isinstance(stock.get(key), dict):
            inner = changes(stock[key], value)
            if inner:
                found[key] = inner
        else:
            found[key] = value
    for key in ('init_cfg', 'pretrained'):
        if stock.get(key):
            found[key] = None
    return found


def write_teacher(folder, student, options, scope):
    """Checkpoint of the student's config with ``options`` merged in."""
    cfg = Config.fromfile(student)
    cfg.merge_from_dict(options)
    torch.manual_seed(1)
    with DefaultScope.overwrite_default_scope(scope):
        model = MODELS.build(deepcopy(cfg.model))
        model.init_weights()
    path = Path(folder) / f'{scope}_teacher.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


def write_pair(folder, data, scope, iters):
    """A student's config file, and settings of its wider teacher."""
    student, options = write_student(folder, data, scope, iters), WIDER[scope]
    weights = write_teacher(folder, student, options, scope)
    return student, dict(
        cfg=str(student), cfg_options=options, checkpoint=str(weights)
    )


def write_distiller(folder, student, teacher, terms, bases=(), extra=''):
    """A distillation config on ``student``; ``terms`` is code."""
    path = Path(folder) / f'distilled_{student.name}'
    path.write_text(
        f"""_base_ = {[f'./{student.name}', *bases]!r}
{extra}
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher={teacher!r},
    terms={terms})
"""
    )
    return path


def run_here(name, *args):
    """Run ``tools/<name>.py`` in this process, whose environment stays."""
    argv = [str(TOOLS / f'{name}.py'), *map(str, args)]
    with mock.patch.dict(os.environ), mock.patch.object(sys, 'argv', argv):
        runpy.run_path(argv[0], run_name='__main__')


def run_script(script, *args, processes=None, timeout=300):
    """Run a train.py; with ``processes``, through the launcher.

    Returns:
        Exit code, and everything that was printed.
    """
    command = [sys.executable]
    if processes:
        command += ['-m', 'torch.distributed.launch']
        command += [f'--nproc_per_node={processes}']
        command += [f'--master_port={free_port()}']
    command += [str(script), *map(str, args)]
    if processes:
        command += ['--launcher', 'pytorch']
    # A file and a group of processes: torch's data workers may outlive a
    # training that is killed, and would keep a pipe open.
    with tempfile.TemporaryFile('w+') as output:
        process = subprocess.Popen(
            command,
            env=environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(timeout)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        output.seek(0)
        return code, output.read()


def environment():
    """This process's, with the checkout importable and one thread each."""
    paths = [str(ROOT), os.environ.get('PYTHONPATH', '')]
    return dict(
        os.environ,
        PYTHONPATH=os.pathsep.join(filter(None, paths)),
        OMP_NUM_THREADS='1',
        CUDA_VISIBLE_DEVICES='',
    )


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def in_two_processes(work):
    """Call ``work(rank)`` in both processes of a group."""
    # Forked: a new interpreter would take as long as a whole test.
    torch.multiprocessing.start_processes(
        _one_of_two, (free_port(), work), nprocs=2, start_method='fork'
    )


def _one_of_two(rank, port, work):
    address = f'tcp://127.0.0.1:{port}'
    dist.init_process_group('gloo', address, rank=rank, world_size=2)
    work(rank)
    dist.destroy_process_group()


@HOOKS.register_module()
class SaveEachRank(Hook):
    """Writes the weights of every process, not only of the first one."""

    priority = 'VERY_LOW'

    def after_train(self, runner):
        path = Path(runner.work_dir) / f'rank_{get_rank()}.pth'
        torch.save(runner.model.module.state_dict(), path)
