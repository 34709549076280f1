"""The models of a shipped config, prepared for one machine without weights.

Differences to the config: no pretrained weights are downloaded, SyncBN is BN,
a segmentor's crops have the size of the run, and the teacher's checkpoint has
random weights. A quick run uses the demo's small student, also as teacher.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmdistill_dense.compat import own_config
from mmdistill_dense.models.utils import build_model, resolve_config
from mmdistill_tools.cpu import replace_sync_bn

from .arguments import Settings
from .batches import draw_batch
from .pairs import PAIRS, Pair, Size


@dataclass
class Setup:
    """Shared configs, weights and batch of all contenders of a pair.

    Attributes:
        pair: The pair.
        settings: Settings of the run.
        config: Config of the pair in this run.
        scope: ``default_scope`` of the host.
        model: Config of the distilled model.
        optimizer: Config of the optimizer, with learning rate 0.
        checkpoint: File with the teacher's weights.
        student: Initial state dict of every student.
        data: A preprocessed batch.
    """

    pair: Pair
    settings: Settings
    config: str
    scope: str
    model: dict
    optimizer: dict
    checkpoint: Path
    student: dict[str, Tensor] = field(default_factory=dict)
    data: dict = field(default_factory=dict)

    def stock_student(self) -> nn.Module:
        """A stock student with the shared initial weights."""
        return self._loaded(self.model['student'])

    def stock_teacher(self) -> nn.Module:
        """A stock teacher with the weights of its checkpoint."""
        model = self.build(self.model['teacher']['cfg']['model'])
        saved = torch.load(self.checkpoint, weights_only=True)
        model.load_state_dict(saved['state_dict'])
        return model

    def distilled(self, switches: dict[str, Any]) -> nn.Module:
        """The shipped distilled model, with switches of its teacher."""
        teacher = {**self.model['teacher'], **switches}
        return self._loaded({**self.model, 'teacher': teacher})

    def _loaded(self, cfg: dict) -> nn.Module:
        model = self.build(cfg)
        model.load_state_dict(self.student)
        return model

    def build(self, cfg: dict) -> nn.Module:
        """Build a model under the host's scope, on the run's device."""
        config = dict(model=deepcopy(cfg), default_scope=self.scope)
        return build_model(Config(config)).to(self.settings.device)


def prepare(name: str, settings: Settings, folder: Path) -> Setup:
    """Read a pair's config, and draw its weights and a batch.

    Args:
        name: One of :data:`.pairs.PAIRS`.
        settings: Size, device, precision, seed and ``quick``.
        folder: Output folder of the teacher's checkpoint.
    """
    pair = PAIRS[name]
    config = pair.quick if settings.quick else pair.config
    cfg = Config.fromfile(own_config(config))
    model = cfg.model.to_dict()
    resolved = resolve_config(model['teacher']['cfg'], None)
    student, teacher = model['student'], resolved.model.to_dict()
    if settings.quick:
        teacher = deepcopy(student)
    count, size = settings.images(pair)
    for side in (student, teacher):
        _adapt(side, size)
    checkpoint = folder / f'{name}_teacher.pth'
    model['teacher'].update(
        cfg=dict(model=teacher, default_scope=resolved.default_scope),
        checkpoint=str(checkpoint),
    )
    optimizer = {**cfg.optim_wrapper.optimizer.to_dict(), 'lr': 0.0}
    scope = cfg.default_scope
    setup = Setup(pair, settings, config, scope, model, optimizer, checkpoint)
    setup.student = _draw_weights(setup, student, settings.seed)
    weights = _draw_weights(setup, teacher, settings.seed + 1)
    torch.save(dict(state_dict=weights), checkpoint)
    head = student.get('decode_head') or student['roi_head']['bbox_head']
    classes = head['num_classes']
    batch = draw_batch(scope, classes, count, size, settings.seed)
    setup.data = setup.stock_student().data_preprocessor(batch, True)
    return setup


def _draw_weights(setup: Setup, cfg: dict, seed: int) -> dict[str, Tensor]:
    """Initial state dict of a model."""
    torch.manual_seed(seed)
    model = setup.build(cfg).cpu()
    model.init_weights()
    return {key: value.clone() for key, value in model.state_dict().items()}


def _adapt(model: dict, size: Size) -> None:
    """Remove weight files from a model config, and set the image size."""
    replace_sync_bn(model)
    model['backbone'].pop('init_cfg', None)
    if 'pretrained' in model:
        model['pretrained'] = None
    if model['data_preprocessor'].get('size'):
        model['data_preprocessor']['size'] = size
