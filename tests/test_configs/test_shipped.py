"""Every shipped distillation config builds and takes a golden first step.

The models are the config's own, made narrow: depth, levels, head types,
hooks and terms stay. After a wanted change of a value, write the file anew
with ``python -m tests.test_configs.test_shipped``.
"""

import json
import tempfile
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmdistill_dense.models.teachers.config import resolve_config
from tests.helpers.batches import detection_batch, segmentation_batch
from tests.helpers.configs import CONFIGS, DISTILLED
from tests.helpers.models import distiller, save_weights, shrink

GOLDEN = Path(__file__).with_name('golden_first_step.json')
SHIPPED = [path.relative_to(CONFIGS).as_posix() for path in DISTILLED]


def first_step(name, folder):
    """Take one optimizer step; return the model and what was logged."""
    cfg = Config.fromfile(CONFIGS / name)
    init_default_scope(cfg.default_scope)
    # The demo's models are narrow as they are.
    factor = 2 if name.startswith('demo/') else 8
    student = shrink(cfg.model.student.to_dict(), factor)
    teacher = resolve_config(cfg.model.teacher.cfg, None)
    teacher_model = shrink(teacher.model.to_dict(), factor)
    segmentor = 'decode_head' in student
    for model in (student, teacher_model):
        if segmentor:
            model['data_preprocessor']['size'] = (64, 64)
    checkpoint = save_weights(
        teacher_model, Path(folder) / 'teacher.pth', scope=cfg.default_scope
    )
    torch.manual_seed(0)
    model = distiller(
        student,
        dict(cfg=teacher_model, checkpoint=checkpoint),
        cfg.model.terms.to_dict(),
        input_size=(128, 128),
    )
    model.init_weights()
    before = {k: v.clone() for k, v in model.named_parameters()}
    optimizer = Runner.build_optim_wrapper(
        _OnlyModel(model), cfg.optim_wrapper
    )
    batch = segmentation_batch() if segmentor else detection_batch()
    logged = model.train().train_step(batch, optimizer)
    return model, before, {k: v.item() for k, v in logged.items()}


class _OnlyModel:
    """What ``Runner.build_optim_wrapper`` looks at."""

    def __init__(self, model):
        self.model = model


@pytest.mark.parametrize('name', SHIPPED)
def test_first_step(name, tmp_path):
    model, before, logged = first_step(name, tmp_path)
    terms = [f'loss_{term}' for term in model.distill.terms]
    assert terms
    assert all(logged[key] > 0 for key in terms)
    golden = json.loads(GOLDEN.read_text())[name]
    assert logged == pytest.approx(golden, rel=2e-2, abs=1e-6)
    still = [
        key
        for key, value in model.named_parameters()
        if value.requires_grad and torch.equal(value, before[key])
    ]
    # Zero-initialised branches and heads without a target may rest once.
    assert len(still) < 0.5 * len(before)


def test_golden_file_has_no_other_config():
    assert sorted(json.loads(GOLDEN.read_text())) == SHIPPED


if __name__ == '__main__':
    torch.set_num_threads(1)
    values = {}
    for config in SHIPPED:
        with tempfile.TemporaryDirectory() as folder:
            values[config] = first_step(config, folder)[2]
    GOLDEN.write_text(json.dumps(values, indent=1) + '\n')
