"""What a reader has before a page begins: the files it takes for granted."""

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmdistill_dense.datasets.shapes import write_dataset
from mmdistill_dense.models.utils import build_model

#: The project that ``docs/own_model.md`` makes, made faster.
FILES = dict(
    student="""_base_ = '../configs/demo/pspnet_student_shapes.py'
train_dataloader = dict(batch_size=2)
train_cfg = dict(max_iters=10, val_interval=10)
default_hooks = dict(
    logger=dict(interval=5), checkpoint=dict(interval=5))
""",
    teacher="""_base_ = '../configs/demo/pspnet_teacher_shapes.py'
""",
    cwd_student="""_base_ = './student.py'
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=dict(
        cfg='my_project/teacher.py', checkpoint='my_project/teacher.pth'),
    terms=dict(
        cwd=dict(
            at='logits',
            loss=dict(
                type='mmdistill_dense.ChannelWiseLoss',
                tau=4.0, loss_weight=3.0))))
""",
)


def write_project(checkout: Path) -> None:
    """``my_project/`` with a student, a teacher and a distillation config."""
    write_dataset(checkout / 'data' / 'shapes', train=8, val=2)
    folder = checkout / 'my_project'
    folder.mkdir()
    for name, text in FILES.items():
        (folder / f'{name}.py').write_text(text)
    weights = _weights(folder / 'teacher.py')
    torch.save(dict(state_dict=weights), folder / 'teacher.pth')


def write_mmrazor_checkpoint(checkout: Path) -> None:
    """A checkpoint with the names that mmrazor gives."""
    weights = _weights(checkout / 'configs/demo/pspnet_student_shapes.py')
    parts = dict(architecture=weights, teacher=weights)
    state = {f'{p}.{k}': v for p, w in parts.items() for k, v in w.items()}
    file = checkout / 'mmrazor_epoch_12.pth'
    torch.save(dict(state_dict=state, meta=dict(epoch=12)), file)


def write_pair(checkout: Path) -> None:
    """The configs, weights and data of a user, for the README."""
    write_dataset(checkout / 'data' / 'shapes', train=4, val=2)
    for role in ('student', 'teacher'):
        config = checkout / f'my_{role}.py'
        base = f'configs/demo/pspnet_{role}_shapes.py'
        config.write_text(f"_base_ = '{base}'\n")
    weights = dict(state_dict=_weights(checkout / 'my_teacher.py'))
    torch.save(weights, checkout / 'my_teacher.pth')


def write_detector(checkout: Path) -> None:
    """An exported detector."""
    folder = checkout / 'exported'
    folder.mkdir()
    config = checkout / 'configs/demo/mask-rcnn_student_shapes.py'
    Config.fromfile(config).dump(folder / 'detector.py')
    weights = dict(state_dict=_weights(config))
    torch.save(weights, folder / 'detector.pth')


def _weights(config: Path) -> dict:
    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    return build_model(cfg).state_dict()
