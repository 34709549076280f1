"""Parts of ``gpu_check.py`` that train; see ``gpu_measuring.py``."""

import json
import os
import re
import sys
from math import isfinite
from pathlib import Path

from gpu_commands import Check, PartFailed, PartSkipped

#: Teacher and student alike: R18 at full width; in a dry run a quarter of it.
MODEL = 'configs/camvid/pspnet_r18-d8_camvid-128x160.py'
NARROW = 'configs/camvid/pspnet_r18-w16-d8_camvid-128x160.py'
SYNC_BN = [
    f'model.student.{part}.norm_cfg.type=SyncBN'
    for part in ('backbone', 'decode_head', 'auxiliary_head')
]
#: Arguments of the embedded data set, used without ``--data``.
IMAGES = ['--train', '160', '--val', '40', '--size', '240', '320']
FEW_IMAGES = ['--train', '8', '--val', '2', '--size', '240', '320']


def teacher(check: Check) -> dict:
    """Train a PSPNet briefly, and write a config that distils it."""
    data = check.args.data
    if data is None:
        data = check.work / 'data'
        images = FEW_IMAGES if check.dry else IMAGES
        module = 'mmdistill_dense.datasets.shapes'
        check.python('-m', module, data, *images)
    check.env['CAMVID_ROOT'] = str(data.resolve())
    model, iters = (NARROW, 2) if check.dry else (MODEL, 300)
    folder = check.work / 'teacher'
    logged = train(check, model, folder, iters)
    checkpoint = folder / f'iter_{iters}.pth'
    check.python(
        *('tools/new_distillation.py', model, model, '--force'),
        *('--checkpoint', checkpoint, '--out', check.work / 'cwd.py'),
    )
    return dict(iterations=iters, mIoU=score(logged))


def train(
    check: Check,
    config: object,
    folder: Path,
    iters: int,
    *options: str,
    save: int | None = None,
    validate: bool = True,
    extra: tuple = (),
    launcher: bool = False,
    **env: str,
) -> list[dict]:
    """Train with the public script; returns the records of MMEngine's log.

    Raises:
        PartFailed: If a loss is not finite.
    """
    settings = [
        f'train_cfg.max_iters={iters}',
        f'train_cfg.val_interval={iters}',
        f'default_hooks.checkpoint.interval={save or iters}',
        'default_hooks.logger.interval=1',
        f'param_scheduler.0.end={iters}',
        'randomness.seed=0',
        *options,
    ]
    if not validate:
        settings += [
            f'val_{x}=None' for x in ('cfg', 'dataloader', 'evaluator')
        ]
    if not check.dry:
        settings += [
            'train_dataloader.num_workers=8',
            'train_dataloader.persistent_workers=True',
        ]
    arguments = ['--work-dir', folder, *extra, '--cfg-options', *settings]
    if launcher:
        env['PYTHON'] = sys.executable
        script = 'tools/dist_train.sh'
        check.run('bash', script, config, '1', *arguments, **env)
    else:
        check.python('tools/train.py', config, *arguments, **env)
    logged = read_log(folder)
    for line in trained(logged):
        for key, value in line.items():
            if 'loss' in key and not isfinite(value):
                raise PartFailed(
                    f'{key} is {value} in iteration {line["step"]} of {folder}'
                )
    return logged


def read_log(folder: Path) -> list[dict]:
    """The newest log of a work dir."""
    files = sorted(folder.glob('*/vis_data/scalars.json'))
    if not files:
        raise PartFailed(f'{folder} holds no log of a training')
    return [json.loads(line) for line in files[-1].read_text().splitlines()]


def trained(logged: list[dict]) -> list[dict]:
    """Records of training iterations, without those of validations."""
    return [line for line in logged if 'loss' in line]


def score(logged: list[dict]) -> float:
    """The last mIoU of a log."""
    found = [line['mIoU'] for line in logged if 'mIoU' in line]
    if not found:
        raise PartFailed('the training was not validated: no mIoU is logged')
    return found[-1]


def config_of(check: Check) -> Path:
    """The config that :func:`teacher` has written."""
    path = check.work / 'cwd.py'
    if not path.exists():
        raise PartSkipped('there is no teacher: that part did not pass')
    return path


def trainings(check: Check) -> None:
    """AMP, a resume, SyncBN under NCCL, and a checkpoint tested on a CPU."""
    config, iters = config_of(check), 2 if check.dry else 20
    middle, folder = iters // 2, check.work / 'amp'
    # MMEngine's AmpOptimWrapper refuses to run on a CPU.
    amp = () if check.dry else ('--amp',)
    facts = check.facts
    whole = train(check, config, folder, iters, save=middle, extra=amp)
    facts.update(first_loss=trained(whole)[0]['loss'], mIoU=score(whole))
    last = folder / f'iter_{iters}.pth'
    if amp:
        facts['loss_scale'] = loss_scale(check, last)
    facts['mIoU_on_cpu'] = score_on_cpu(check, config, last)
    if abs(facts['mIoU_on_cpu'] - facts['mIoU']) > 1:
        raise PartFailed(
            f'{last.name} has mIoU {facts["mIoU"]} on the GPU and '
            f'{facts["mIoU_on_cpu"]} on the CPU, more than 1 point apart'
        )
    logged = train(
        check,
        config,
        check.work / 'resumed',
        iters,
        extra=(*amp, '--resume', folder / f'iter_{middle}.pth'),
        validate=False,
    )
    resumed = trained(logged)
    first = resumed[0]['step']
    facts['resumed'] = dict(first=first, last=resumed[-1]['step'])
    if first != middle + 1:
        raise PartFailed(
            f'resumed from iteration {middle}, the log begins with {first}'
        )
    one_process(check, config, middle)


def loss_scale(check: Check, checkpoint: Path) -> float:
    """Scale of the GradScaler in an AMP checkpoint."""
    code = (
        'import sys, torch\n'
        'saved = torch.load(sys.argv[1], "cpu", weights_only=False)\n'
        'print("SCALE", saved["optimizer"]["loss_scaler"]["scale"])'
    )
    return float(check.python('-c', code, checkpoint).rpartition('SCALE ')[2])


def one_process(check: Check, config: Path, iters: int) -> None:
    """DDP of one process under NCCL, with SyncBN; on a CPU gloo and BN.

    With one process SyncBN exchanges no statistics: only its construction and
    training in DDP are checked.
    """
    logged = train(
        check,
        config,
        check.work / 'distributed',
        iters,
        *SYNC_BN,
        validate=False,
        launcher=True,
        NCCL_DEBUG='VERSION',
        PORT=str(20000 + os.getpid() % 10000),
        # The launcher resolves this machine's name; do not wait long for a
        # resolver that does not answer.
        RES_OPTIONS='timeout:1 attempts:1',
    )
    check.facts['distributed_loss'] = trained(logged)[-1]['loss']
    version = re.search(r'NCCL version (\S+)', check.log.read_text())
    if version:
        check.facts['nccl'] = version[1]
    elif not check.dry:
        raise PartFailed('the process group did not start NCCL')


def score_on_cpu(check: Check, config: Path, checkpoint: Path) -> float:
    """Test a checkpoint without a visible GPU."""
    folder = check.work / 'on_cpu'
    check.python(
        *('tools/test.py', config, checkpoint, '--work-dir', folder),
        CUDA_VISIBLE_DEVICES='',
    )
    (path,) = folder.glob('*/*.json')
    return json.loads(path.read_text())['mIoU']


def distil(check: Check) -> None:
    """CWD on real data, or on the embedded one, for 500 iterations."""
    iters = 2 if check.dry else 500
    logged = train(check, config_of(check), check.work / 'cwd', iters)
    lines = trained(logged)
    tenth = max(1, len(lines) // 10)

    def mean(key: str, some: list[dict]) -> float:
        return round(sum(line[key] for line in some) / len(some), 4)

    first, last = lines[:tenth], lines[-tenth:]
    check.facts.update(
        iterations=lines[-1]['step'],
        mIoU=score(logged),
        seconds_an_iteration=mean('time', last),
        **{
            key: [mean(key, first), mean(key, last)]
            for key in ('loss', 'loss_cwd')
        },
    )
    before, after = check.facts['loss_cwd']
    if after >= before and not check.dry:
        raise PartFailed(f'loss_cwd went from {before} to {after}')
