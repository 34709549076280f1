"""Every shipped config that trains takes a golden first step.

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
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner
from torch import nn

from mmdistill_dense.models.maskd.receptive_tokens import ReceptiveTokens
from mmdistill_dense.models.maskd.token_files import write_tokens
from mmdistill_dense.models.utils import resolve_config
from tests.helpers.batches import detection_batch, segmentation_batch
from tests.helpers.configs import CONFIGS, DISTILLED, PRETRAINED, TOKENS
from tests.helpers.models import distiller, save_weights, shrink
from tests.helpers.pretraining import narrow, views_batch, write_teacher

GOLDEN = Path(__file__).with_name('golden_first_step.json')
SHIPPED, STAGE_1, PRE_TRAINING = (
    [path.relative_to(CONFIGS).as_posix() for path in paths]
    for paths in (DISTILLED, TOKENS, PRETRAINED)
)
ALL = sorted(SHIPPED + STAGE_1 + PRE_TRAINING)


def small(model, name):
    """A model made narrow, on small images."""
    # The demo's models are narrow as they are.
    model = shrink(model.to_dict(), 2 if name.startswith('demo/') else 8)
    if 'decode_head' in model:
        model['data_preprocessor']['size'] = (64, 64)
    return model


def small_teacher(name, cfg, folder):
    """A narrow teacher; its checkpoint is shared by configs."""
    teacher = resolve_config(cfg.model.teacher.cfg, None)
    model = small(teacher.model, name)
    scope, head = teacher.default_scope, 1
    if any('through' in term for term in cfg.model.get('terms', {}).values()):
        head = 10
    file = Path(folder) / f'{Path(cfg.model.teacher.cfg).stem}-{head}.pth'
    if not file.exists():
        save_weights(model, file, scope=scope, head=head)
    return dict(cfg=model, checkpoint=str(file))


def build_distiller(name, cfg, folder):
    """The distilled student, with tokens where a loss wants some."""
    student = small(cfg.model.student, name)
    teacher = small_teacher(name, cfg, folder)
    terms = cfg.model.terms.to_dict()
    for loss in (term['loss'] for term in terms.values()):
        if 'tokens' in loss:
            loss['tokens'] = str(Path(folder) / Path(loss['tokens']).parent)
    more = {k: v for k, v in cfg.model.items() if k == 'inherit'}
    torch.manual_seed(0)
    model = distiller(student, teacher, terms, input_size=(256, 256), **more)
    for term in model.distill.terms.values():
        if hasattr(term.loss, 'tokens'):
            write_tokens_for(term)
    model.distill.clock.set(iteration=0, epoch=0)
    return model


def write_tokens_for(term):
    """Write tokens with the channels of a term's teacher."""
    channels = [spec.channels for spec in term.teacher_specs]
    weighting = getattr(term.loss, 'weighting', False)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        modules = [
            ReceptiveTokens(c, weighting=weighting, init_std=0.5)
            for c in channels
        ]
    write_tokens(term.loss.tokens, nn.ModuleList(modules), {})


def build_learner(name, cfg, folder):
    """What learns tokens on a narrow teacher."""
    teacher = small_teacher(name, cfg, folder)
    torch.manual_seed(0)
    return MODELS.build(dict(cfg.model, teacher=teacher))


def build_pretraining(name, cfg, folder):
    """A narrow backbone and its teacher; the file is shared by configs."""
    model = narrow(cfg.model.to_dict())
    teacher = model['teacher']
    file = Path(folder) / f'{teacher.get("layout", Path(name).stem)}.pth'
    if not file.exists():
        write_teacher(teacher, file)
    teacher['checkpoint'] = str(file)
    torch.manual_seed(0)
    return MODELS.build(Config(dict(model=model)).model)


def builder(name):
    if name in PRE_TRAINING:
        return build_pretraining
    return build_learner if name in STAGE_1 else build_distiller


def batch_for(name, cfg):
    if name in PRE_TRAINING:
        return views_batch()
    if cfg.default_scope == 'mmseg':
        return segmentation_batch()
    batch = detection_batch()
    if 'rtmdet-tiny' in name:  # its assigner would use masks, as RTMDet-Ins'
        for sample in batch['data_samples']:
            del sample.gt_instances.masks
    return batch


def first_step(name, folder):
    """Take one optimizer step; return the model and what was logged."""
    cfg = Config.fromfile(CONFIGS / name)
    init_default_scope(cfg.default_scope)
    model = builder(name)(name, cfg, folder)
    model.init_weights()
    before = {k: v.clone() for k, v in model.named_parameters()}
    optimizer = Runner.build_optim_wrapper(
        _OnlyModel(model), cfg.optim_wrapper
    )
    logged = model.train().train_step(batch_for(name, cfg), optimizer)
    still = [
        key
        for key, value in model.named_parameters()
        if value.requires_grad and torch.equal(value, before[key])
    ]
    return model, still, {k: v.item() for k, v in logged.items()}


class _OnlyModel:
    """What ``Runner.build_optim_wrapper`` looks at."""

    def __init__(self, model):
        self.model = model


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Where teachers and tokens lie, for all tests."""
    return tmp_path_factory.mktemp('shipped')


def check_golden(name, logged):
    """Compare with the golden values.

    The second stage of RepPoints is assigned by the IoU of what the first
    has predicted. Untrained points lie near the thresholds, so the rounding
    of a processor decides which are positive: those losses are held to a
    half, and what does not depend on them as closely as everything else.
    """
    golden = json.loads(GOLDEN.read_text())[name]
    assert logged.keys() == golden.keys()
    assigned = 'reppoints' in name
    for key, value in golden.items():
        second = key in ('loss', 'loss_cls') or key.endswith('_refine')
        tolerance = 0.5 if assigned and second else 2e-2
        assert logged[key] == pytest.approx(value, rel=tolerance, abs=1e-6)


@pytest.mark.parametrize('name', SHIPPED)
def test_first_step(name, folder):
    model, still, logged = first_step(name, folder)
    terms = [f'loss_{term}' for term in model.distill.terms]
    assert terms
    assert all(logged[key] > 0 for key in terms)
    check_golden(name, logged)
    # Zero-initialised branches and heads without a target may rest once.
    assert len(still) < 0.5 * len(list(model.parameters()))


@pytest.mark.parametrize('name', STAGE_1)
def test_first_step_of_tokens(name, folder):
    model, still, logged = first_step(name, folder)
    # A level that no head samples has no gradient beside the diversity's.
    assert all(key.endswith('.bias') for key in still)
    assert all(k.startswith('mask_modules.') for k in model.state_dict())
    assert 0 < logged['loss_diversity'] <= len(model.mask_modules)
    check_golden(name, logged)


@pytest.mark.parametrize('name', PRE_TRAINING)
def test_first_step_of_pretraining(name, folder):
    _, still, logged = first_step(name, folder)
    # Behind a residual branch that starts at zero a shift rests once.
    assert all(key.endswith('.bn1.bias') for key in still)
    assert logged['loss_contrast'] > 0
    check_golden(name, logged)


def test_golden_file_has_no_other_config():
    assert sorted(json.loads(GOLDEN.read_text())) == ALL


if __name__ == '__main__':
    torch.set_num_threads(1)
    values = {}
    with tempfile.TemporaryDirectory() as shared:
        for config in ALL:
            values[config] = first_step(config, shared)[2]
    GOLDEN.write_text(json.dumps(values, indent=1) + '\n')
