"""The commands that ``mim_doors.py`` tries, and what it expects of each."""

from pathlib import Path
from typing import NamedTuple

#: Two iterations with one validation, for configs named on the command line.
TWO = (
    '--cfg-options train_cfg.max_iters=2 train_cfg.val_interval=2 '
    'default_hooks.checkpoint.interval=2'
)
#: A user's own config, on a shipped one; ``pspnet.py`` and ``mask-rcnn.py``.
OWN = """\
_base_ = ['{mim}/configs/demo/cwd_{name}_shapes.py']
model = dict(
    teacher=dict(checkpoint='work_dirs/{name}_teacher_shapes/iter_2.pth'))
train_cfg = dict(max_iters=2, val_interval=2)
default_hooks = dict(
    checkpoint=dict(interval=2), logger=dict(interval=1))
"""
#: A study of one row; ``tiny.yaml``.
STUDY = """\
title: One row
metrics: {mIoU: mIoU}
baseline: [student]
seeds: [0]
rows:
  student:
    title: student
    config: mmdistill_dense::demo/pspnet_student_shapes.py
    options: {train_cfg.max_iters: 2, train_cfg.val_interval: 2}
"""
#: The hosts' distributions, and what MMSegmentation's own scripts are given:
#: OneDL's cannot read ``mmseg::`` in a config, only what a run has dumped.
STACKS = dict(
    stock=dict(mmdet='mmdet', mmseg='mmsegmentation', pspnet='pspnet.py'),
    onedl=dict(
        mmdet='onedl-mmdetection',
        mmseg='onedl-mmsegmentation',
        pspnet='work_dirs/pspnet/pspnet.py',
    ),
)


class Door(NamedTuple):
    """A command, what its output must match, and a file it must write."""

    command: str
    says: str = ''
    writes: str = ''


def train(command: str, folder: str, says: str = r'loss_cwd: [\d.]+') -> Door:
    """Two iterations; the checkpoint must be there."""
    return Door(f'mim train {command}', says, f'{folder}/iter_2.pth')


def test(command: str, says: str) -> Door:
    return Door(f'mim test {command}', rf'{says}: [\d.]+')


#: In the order of their needs: each may use what an earlier one wrote.
DOORS = [
    Door(
        'python -m mmdistill_dense.datasets.shapes data/shapes '
        '--train 8 --val 2',
        writes='data/shapes/annotations/instances_val.json',
    ),
    Door('mim list', r'mmdistill-dense\s+\d+\.\d+'),
    Door('mim search mmdistill_dense', 'config id: cwd_neck_mask-rcnn'),
    Door(
        'mim search mmdistill_dense --model cwd --dataset camvid '
        "--condition 'iterations<1000' --field teacher student",
        r'id: cwd_neck\S+\nstudent  mask r-cnn r18-w16\nteacher  .*\n*$',
    ),
    # By unique basename.
    train(
        f'mmdistill_dense pspnet_teacher_shapes.py {TWO}',
        'work_dirs/pspnet_teacher_shapes',
        r'acc_seg: [\d.]+',
    ),
    train(
        f'mmdistill_dense mask-rcnn_teacher_shapes.py {TWO}',
        'work_dirs/mask-rcnn_teacher_shapes',
        r'loss_mask: [\d.]+',
    ),
    train(
        f'mmdistill_dense cwd_pspnet_shapes.py --work-dir name {TWO} '
        'model.teacher.checkpoint=work_dirs/pspnet_teacher_shapes/iter_2.pth',
        'name',
    ),
    # By path, and in two processes.
    train('mmdistill_dense ./pspnet.py', 'work_dirs/pspnet'),
    train('mmdistill_dense mask-rcnn.py', 'work_dirs/mask-rcnn'),
    train(
        'mmdistill_dense mask-rcnn.py --launcher pytorch --gpus 2 '
        '--work-dir two',
        'two',
        r'(?s)GPU number: 2.*loss_cwd: [\d.]+',
    ),
    # The hosts' own scripts.
    train('{mmseg} {pspnet} --work-dir host', 'host'),
    train('{mmdet} mask-rcnn.py --work-dir host_det', 'host_det'),
    test('mmdistill_dense pspnet.py -C host/iter_2.pth', 'mIoU'),
    test('mmdistill_dense cwd_pspnet_shapes.py -C name/iter_2.pth', 'mIoU'),
    test(
        'mmdistill_dense mask-rcnn.py -C host_det/iter_2.pth '
        '--launcher pytorch --gpus 2',
        'segm_mAP',
    ),
    test('{mmseg} {pspnet} -C work_dirs/pspnet/iter_2.pth', 'mIoU'),
    test('{mmdet} mask-rcnn.py -C work_dirs/mask-rcnn/iter_2.pth', 'segm_mAP'),
    # Tools, and what the hosts make of their results.
    Door(
        'mim run mmdistill_dense train pspnet.py --work-dir run',
        writes='run/iter_2.pth',
    ),
    Door('mim run mmdistill_dense test pspnet.py run/iter_2.pth', 'mIoU: '),
    Door(
        'mim run mmdistill_dense export_student pspnet.py run/iter_2.pth '
        'student.pth',
        writes='student.py',
    ),
    test('{mmseg} student.py -C student.pth', 'mIoU'),
    Door('mim run mmdistill_dense inspect_distiller mask-rcnn.py', 'cwd'),
    Door(
        'mim run mmdistill_dense new_distillation --out new.py '
        'mmdistill_dense::demo/pspnet_student_shapes.py '
        'mmdistill_dense::demo/pspnet_teacher_shapes.py '
        '--checkpoint work_dirs/pspnet_teacher_shapes/iter_2.pth',
        writes='new.py',
    ),
    train(f'mmdistill_dense new.py {TWO}', 'work_dirs/new'),
    # What trains and measures several models.
    Door('mim run mmdistill_dense study tiny.yaml', writes='tiny.json'),
    Door(
        'mim run mmdistill_dense benchmark step --model pspnet --quick '
        '--rounds 1 --out quick.json',
        writes='quick.json',
    ),
    Door(
        'mim run mmdistill_dense demo --length 0.004',
        'Written: work_dirs/demo/report.md',
        'work_dirs/demo/results.json',
    ),
    Door(
        'bash {mim}/tools/dist_train.sh pspnet.py 2 --work-dir script',
        writes='script/iter_2.pth',
    ),
]


def doors(mim: Path, stack: str) -> list[Door]:
    """All of them, and the help of every tool.

    Args:
        mim: The installed ``.mim`` folder.
        stack: ``'stock'`` or ``'onedl'``.
    """
    names = sorted(path.stem for path in (mim / 'tools').glob('*.py'))
    # MIM 0.3.9 keeps a bare -h to itself.
    helps = [
        Door(f'mim run mmdistill_dense {name} -- -h', rf'usage: {name}\.py')
        for name in names
    ]
    return [
        door._replace(command=door.command.format(mim=mim, **STACKS[stack]))
        for door in [*DOORS, *helps]
    ]
