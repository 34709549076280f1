"""Write files as users have them, by the code that is checked out.

    python -m tests.test_backward_compatibility.make_files [NAME]

``files/NAME`` gets configs, data, checkpoints and studies. NAME is the
version of the package unless it is given. A folder that is there is never
written again: it stands for what an earlier version has written, so a later
version gets a folder of its own, and the tests run on each of them.

``made_with.json`` has commit and versions, ``losses.json`` what the runs
logged after the checkpoints that are kept.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from mmengine.config import Config

import mmdistill_dense

from ..helpers.contrast import encoder_file
from ..helpers.datasets import write_dataset
from ..helpers.models import cwd, save_weights
from ..helpers.pretraining import SIZE
from ..helpers.runs import distilled, run_config
from ..helpers.tool_runs import ROOT, TRAIN, environment, run_script
from . import models
from .runs import FILES, KEPT, LENGTH, logged

STUDY = ROOT / 'tools' / 'study.py'
DATA = 'shapes'
#: What stays of the work dirs; log files name folders of the machine.
PATTERNS = (
    '*.py',
    '*.pth',
    '*.json',
    '*.yaml',
    f'{DATA}/**/*.*',
    f'*/iter_{KEPT}.pth',
    'study/*.py',
    'study/*.json',
    'study/*.yaml',
    *(
        f'study/interrupted_work/*/seed_0/{name}'
        for name in (
            '*.py',
            '*.pth',
            '*.json',
            'command.txt',
            'last_checkpoint',
            '*/vis_data/scalars.json',
        )
    ),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('name', nargs='?', default=mmdistill_dense.__version__)
    target = FILES / parser.parse_args().name
    if target.exists():
        parser.error(f'{target} is there; give another name')
    with TemporaryDirectory() as folder:
        os.chdir(folder)
        write_dataset(Path(DATA), images=4)
        write_runs()
        write_studies()
        write_origin()
        kept = [p for pattern in PATTERNS for p in Path().glob(pattern)]
        for path in kept:
            check_no_folder(path, folder)
        for path in filter(Path.is_file, kept):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target / path)
        os.chdir(ROOT)
    size = sum(p.stat().st_size for p in target.rglob('*') if p.is_file())
    print(f'{target}: {size / 1024:.0f} KiB')


def write_runs():
    """A run of each distiller, and what it logged after its checkpoint."""
    save_weights(models.segmentor(4), 'segmentor_teacher.pth')
    save_weights(models.detector(6), 'detector_teacher.pth')
    encoder = encoder_file('encoder.pth', models.BACKBONE)
    weights_only = dict(save_optimizer=False, save_param_scheduler=False)
    write_config(
        'tokens',
        models.token_learner(),
        custom_hooks=[dict(type='mmdistill_dense.TokenFileHook')],
    )
    write_config('segmentor', models.distilled_segmentor())
    write_config(
        'detector', models.distilled_detector(), checkpoint=weights_only
    )
    write_config(
        'pretraining',
        models.pretraining(encoder),
        train_dataloader=views(),
        optim_wrapper=dict(
            type='OptimWrapper',
            optimizer=dict(type='mmdistill_dense.LARS', lr=1.0),
        ),
    )
    train('tokens.py')
    shutil.copy('tokens/tokens.pth', '.')
    for name in ('segmentor', 'detector', 'pretraining'):
        train(f'{name}.py')
    # Testing and export need no file of a teacher.
    Path('detector_teacher.pth').unlink()
    # A run that starts from a checkpoint, and does not go on with it.
    options = [f'load_from=segmentor/iter_{KEPT}.pth', 'train_cfg.max_iters=1']
    folder = ['--work-dir', 'started']
    train('segmentor.py', *folder, '--cfg-options', *options)
    begin = dict(tokens=KEPT, segmentor=KEPT, pretraining=KEPT, started=0)
    losses = {name: logged(Path(name), after) for name, after in begin.items()}
    Path('losses.json').write_text(json.dumps(losses, indent=1) + '\n')


def views():
    """Loader of two views of each image."""
    view = [
        dict(type='mmdistill_dense.RandomResizedCrop', size=SIZE),
        dict(type='RandomFlip', prob=0.5),
        dict(type='mmdistill_dense.ColorJitter', prob=0.8),
    ]
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='mmdistill_dense.MultiView', transforms=[view, view]),
        dict(type='mmdistill_dense.PackViews'),
    ]
    return dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='InfiniteSampler', shuffle=True),
        collate_fn=dict(type='default_collate'),
        dataset=dict(
            type='mmdistill_dense.UnlabelledImages',
            data_root=DATA,
            images='images',
            pipeline=pipeline,
        ),
    )


def write_config(name, model, data=DATA, checkpoint=None, **settings):
    """Write ``<name>.py``, with a work dir of the same name."""
    cfg = run_config(
        model, data, work_dir=name, iters=LENGTH, save=KEPT, **settings
    )
    del cfg['experiment_name']
    cfg['default_hooks']['logger'] = dict(type='LoggerHook', interval=1)
    # Beside the work dir, else checkpoints name it by its absolute path.
    cfg['default_hooks']['checkpoint'].update(checkpoint or {}, out_dir='.')
    cfg['log_processor'] = dict(window_size=1, by_epoch=False)
    cfg['param_scheduler'] = [
        dict(type='PolyLR', power=0.9, end=LENGTH, by_epoch=False)
    ]
    Config(cfg).dump(f'{name}.py')


def train(*arguments):
    code, text = run_script(TRAIN, *arguments)
    if code:
        raise RuntimeError(text)


def write_studies():
    """A study that was interrupted, and one that came to its end."""
    Path('study').mkdir()
    os.chdir('study')
    student = models.segmentor(3)
    teacher = dict(cfg='stock.py', checkpoint='')
    terms = dict(cwd=cwd('logits', models.CWD_WEIGHT))
    write_config('stock', student, f'../{DATA}', val=True)
    write_config(
        'cwd', distilled(student, teacher, terms), f'../{DATA}', val=True
    )
    write_study('finished', seeds=[0, 1], length=10)
    run_study('finished', end=False)
    write_study('interrupted', seeds=[0], length=15)
    run_study('interrupted', end=True)
    os.chdir('..')


def write_study(name, seeds, length):
    """A student, and one that learns from it, ``length`` times as long."""
    work_dir = f'{name}_work'
    hook = 'default_hooks.checkpoint'
    content = dict(
        title='A student and its teacher',
        metrics=dict(mIoU='mIoU', aAcc='accuracy'),
        baseline='student',
        seeds=seeds,
        work_dir=work_dir,
        options={'optim_wrapper.optimizer.lr': 0.1},
        rows=dict(
            student=dict(
                config='stock.py',
                title='the student',
                options={
                    f'{hook}.interval': LENGTH,
                    f'{hook}.out_dir': f'{work_dir}/student',
                },
            ),
            cwd=dict(
                config='cwd.py',
                title='CWD',
                length=length,
                options={
                    'model.teacher.checkpoint': '${student}',
                    f'{hook}.interval': 10,
                    f'{hook}.max_keep_ckpts': 1,
                    f'{hook}.out_dir': f'{work_dir}/cwd',
                },
            ),
        ),
    )
    Path(f'{name}.yaml').write_text(yaml.dump(content, sort_keys=False))


def run_study(name, end):
    """Run a study; ``end``: interrupt it in its second row."""
    pointer = Path(f'{name}_work/cwd/seed_0/last_checkpoint')
    process = subprocess.Popen(
        [sys.executable, str(STUDY), f'{name}.yaml'], env=environment()
    )
    while end and process.poll() is None:
        if pointer.exists() and pointer.read_text():
            process.send_signal(signal.SIGINT)
            break
        time.sleep(0.02)
    code = process.wait()
    if code != (130 if end else 0):
        raise RuntimeError(f'the study {name} ended with exit code {code}')


def write_origin():
    """Commit and versions, from what the study has noted of itself."""
    run = json.loads(Path('study/finished.json').read_text())['runs'][0]
    made_with = {key: run[key] for key in ('commit', 'versions')}
    if str(made_with['commit']).endswith('-dirty'):
        raise RuntimeError('commit the code first: files name its commit')
    Path('made_with.json').write_text(json.dumps(made_with, indent=1) + '\n')


def check_no_folder(path, folder):
    """Refuse a file that names a folder of this machine."""
    content = path.read_bytes() if path.is_file() else b''
    for name in (folder, str(ROOT), sys.prefix, str(Path.home())):
        if name.encode() in content:
            raise RuntimeError(f'{path} names {name}')


if __name__ == '__main__':
    main()
