"""The models of a shipped config, made ready for one machine without weights.

What differs from the config: no pretrained weights are fetched, SyncBN is BN,
a segmentor's crops have the size of the run, and the teacher's checkpoint is
one of random weights. A quick run takes the demo's small student, for the
teacher, too.
"""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmdistill_dense.compat import own_config
from mmdistill_dense.models.utils import build_model, resolve_config
from mmdistill_tools.cpu import replace_sync_bn

Size = tuple[int, int]


@dataclass(frozen=True)
class Pair:
    """A student and a teacher, as a shipped config has them.

    Attributes:
        config: Below ``configs/``.
        quick: The same for quick runs.
        levels: Maps that are compared; 0: one tensor, the logits.
        source: Name of the module that is recorded, in both.
        sizes: By device, and of quick runs: images and their height and
            width in pixels.
    """

    config: str
    quick: str
    levels: int
    source: str
    sizes: dict[str, tuple[int, Size]]


PAIRS = {
    'mask-rcnn': Pair(
        'cwd/cwd_neck_mask-rcnn_r101_mask-rcnn_r50_fpn_1x_coco.py',
        'demo/cwd_mask-rcnn_shapes.py',
        5,
        'neck',
        dict(cpu=(1, (320, 320)), cuda=(2, (800, 1344)), quick=(1, (96, 128))),
    ),
    'pspnet': Pair(
        'cwd/cwd_logits-openmmlab_pspnet_r101-d8_pspnet_r18-d8_4xb2-80k_'
        'cityscapes-512x1024.py',
        'demo/cwd_pspnet_shapes.py',
        0,
        'decode_head.conv_seg',
        dict(cpu=(2, (256, 512)), cuda=(2, (512, 1024)), quick=(2, (64, 64))),
    ),
}


@dataclass
class Setup:
    """What all contenders of a pair are made from.

    Attributes:
        pair: Where it is from.
        config: The pair's config of this run.
        scope: ``default_scope`` of the host.
        model: Config of the distilled model.
        optimizer: Config of the optimizer, of learning rate 0.
        checkpoint: File of the teacher's weights.
        precision: Of training steps.
        seed: Of weights, and of the student's random numbers.
        student: State dict that every student starts with.
    """

    pair: Pair
    config: str
    scope: str
    model: dict
    optimizer: dict
    checkpoint: Path
    precision: str
    seed: int
    student: dict[str, Tensor] | None = None

    @property
    def classes(self) -> int:
        """Number of classes of the student."""
        student = self.model['student']
        head = student.get('decode_head') or student['roi_head']['bbox_head']
        return head['num_classes']

    def stock_student(self) -> nn.Module:
        """A stock student with the weights that all start with."""
        return self._loaded(self.model['student'])

    def stock_teacher(self) -> nn.Module:
        """A stock teacher with its checkpoint."""
        model = self.build(self.model['teacher']['cfg']['model'])
        saved = torch.load(self.checkpoint, weights_only=True)
        model.load_state_dict(saved['state_dict'])
        return model

    def distilled(self, switches: dict[str, Any]) -> nn.Module:
        """The shipped distilled model, its teacher with switches."""
        teacher = {**self.model['teacher'], **switches}
        return self._loaded({**self.model, 'teacher': teacher})

    def _loaded(self, cfg: dict) -> nn.Module:
        model = self.build(cfg)
        model.load_state_dict(self.student)
        return model

    def build(self, cfg: dict) -> nn.Module:
        """A model under the host's scope."""
        return build_model(
            Config(dict(model=deepcopy(cfg), default_scope=self.scope))
        )

    def draw_weights(self, cfg: dict, seed: int) -> dict[str, Tensor]:
        """State dict of a model as it starts a training."""
        torch.manual_seed(seed)
        model = self.build(cfg)
        model.init_weights()
        return {key: x.clone() for key, x in model.state_dict().items()}


def prepare(
    name: str,
    size: Size,
    folder: Path,
    seed: int,
    quick: bool,
    precision: str = 'fp32',
) -> Setup:
    """Read a pair's config and draw its weights.

    Args:
        name: One of :data:`PAIRS`.
        size: Height and width of the images, in pixels.
        folder: Gets the teacher's checkpoint.
        seed: Of the weights.
        quick: Whether to take the small models.
        precision: Of training steps.
    """
    pair = PAIRS[name]
    config = pair.quick if quick else pair.config
    cfg = Config.fromfile(own_config(config))
    model = cfg.model.to_dict()
    resolved = resolve_config(model['teacher']['cfg'], None)
    student = model['student']
    teacher = deepcopy(student) if quick else resolved.model.to_dict()
    for side in (student, teacher):
        _fit(side, size)
    checkpoint = folder / f'{name}_teacher.pth'
    model['teacher'].update(
        cfg=dict(model=teacher, default_scope=resolved.default_scope),
        checkpoint=str(checkpoint),
    )
    optimizer = {**cfg.optim_wrapper.optimizer.to_dict(), 'lr': 0.0}
    scope = cfg.default_scope
    setup = Setup(
        pair, config, scope, model, optimizer, checkpoint, precision, seed
    )
    setup.student = setup.draw_weights(student, seed)
    weights = setup.draw_weights(teacher, seed + 1)
    torch.save(dict(state_dict=weights), checkpoint)
    return setup


def _fit(model: dict, size: Size) -> None:
    """Leave out files of weights, and set the size of the images."""
    replace_sync_bn(model)
    model['backbone'].pop('init_cfg', None)
    if 'pretrained' in model:
        model['pretrained'] = None
    if model['data_preprocessor'].get('size'):
        model['data_preprocessor']['size'] = size
