"""Checkpoints and token files of earlier versions are loaded and go on.

Models and tools are reached as users reach them: by config, registered name
and command.
"""

import json
import pickletools
import zipfile
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import Runner

from ..helpers.rules import for_each
from ..helpers.runs import differing, snapshot, student_part
from .runs import FILES, KEPT, LENGTH, logged


def read(path):
    return torch.load(path, map_location='cpu', weights_only=True)


def build(config):
    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    return MODELS.build(cfg.model)


class AtStart(Hook):
    """What a run has when its first iteration begins."""

    priority = 'VERY_LOW'

    def before_train(self, runner):
        self.iteration = runner.iter
        self.weights = state_of(runner.model)
        self.optimizer = by_name(
            runner.optim_wrapper.state_dict(),
            [name for name, _ in runner.model.named_parameters()],
        )
        self.scheduled = [s.last_step for s in runner.param_schedulers]
        self.history = loss_history(runner.message_hub.log_scalars)


def state_of(model):
    """A copy of a model's state dict, wherever it was trained."""
    return {key: value.cpu() for key, value in snapshot(model).items()}


def loss_history(scalars):
    """Losses in the scalars of a message hub."""
    buffer = scalars.get('train/loss')
    return list(buffer.data[0]) if buffer else []


def by_name(optimizer, names):
    """Tensors of an optimizer's state dict, by those of parameters."""
    return {
        f'{names[index]} {key}': value.cpu().clone()
        for index, state in optimizer['state'].items()
        for key, value in state.items()
        if isinstance(value, torch.Tensor)
    }


def run(name, **settings):
    """Train by the config of a name.

    Returns:
        The Runner, and what it had at its start.
    """
    cfg = Config.fromfile(f'{name}.py')
    cfg.merge_from_dict(settings)
    runner, start = Runner.from_cfg(cfg), AtStart()
    runner.register_hook(start, priority=start.priority)
    runner.train()
    return runner, start


def resume(name):
    """Go on from a checkpoint, and check that all of it was taken over."""
    path = f'{name}/iter_{KEPT}.pth'
    runner, start = run(name, resume=True, load_from=path)
    content = read(path)
    weights = content['state_dict']
    assert start.iteration == KEPT
    assert not differing(start.weights, weights)
    # A state dict has parameters in the order in which they are numbered.
    parameters = dict(runner.model.named_parameters())
    names = [key for key in weights if key in parameters]
    momentum = by_name(content['optimizer'], names)
    assert len(momentum) == len(parameters)
    assert not differing(start.optimizer, momentum)
    schedulers = content['param_schedulers']
    assert start.scheduled == [s['last_step'] for s in schedulers] == [KEPT]
    history = loss_history(content['message_hub']['log_scalars'])
    assert start.history == history
    assert len(history) == KEPT
    assert runner.iter == LENGTH
    assert differing(state_of(runner.model), weights)
    return runner, start


def check_losses(name, work_dir):
    """Compare what was logged with what that version has logged.

    Another processor rounds otherwise: on a second one, the very code that
    has written the files gives a loss of CWD that is 0.15 % off, as maps that
    nearly agree leave few digits. Wrong weights are off by far more.
    """
    expected = json.loads(Path('losses.json').read_text())[name]
    found = logged(Path(work_dir), after=expected[0]['step'] - 1)
    assert len(found) == len(expected)
    for step, other in zip(found, expected, strict=True):
        assert step == pytest.approx(other, rel=5e-3)


def test_a_distilled_checkpoint_loads_strictly(saved):
    model, weights = build('detector.py'), read('detector/iter_2.pth')
    weights = weights['state_dict']
    connectors = {key for key in weights if key.startswith('distill.')}
    assert len(connectors) == 4  # a convolution with bias at both levels
    assert connectors <= set(differing(snapshot(model), weights))
    model.load_state_dict(weights, strict=True)
    assert not differing(snapshot(model), weights)
    assert connectors <= dict(model.named_parameters()).keys()


def test_the_student_of_a_distilled_checkpoint_is_exported(saved, tool):
    tool('export_student.py', 'detector.py', 'detector/iter_2.pth', 'out.pth')
    weights = read('detector/iter_2.pth')['state_dict']
    student, exported = build('out.py'), read('out.pth')['state_dict']
    assert type(student).__name__ == 'RetinaNet'
    student.load_state_dict(exported, strict=True)
    assert not differing(snapshot(student), student_part(weights))


def test_a_distillation_goes_on(saved):
    resume('segmentor')
    check_losses('segmentor', 'segmentor')


def test_a_distillation_starts_from_a_checkpoint(saved):
    path = f'segmentor/iter_{KEPT}.pth'
    settings = {'train_cfg.max_iters': 1, 'work_dir': 'started'}
    _, start = run('segmentor', load_from=path, **settings)
    assert start.iteration == 0
    assert not start.optimizer
    check_losses('started', 'started')


@pytest.mark.parametrize('file', ['tokens.pth', f'tokens/iter_{KEPT}.pth'])
def test_tokens_know_what_they_were_learned_on(saved, log_lines, file):
    place = "{'path': 'backbone'}"
    start_with_tokens(file)
    log = '\n'.join(log_lines)
    assert f'loaded from {file}, learned at {place}' in log
    assert 'learned on other weights' not in log
    double('segmentor_teacher.pth', 'backbone.conv1.weight')
    start_with_tokens(file)
    assert 'learned on other weights' in '\n'.join(log_lines)


def start_with_tokens(file):
    """Build the second stage and load its teacher and tokens."""
    cfg = Config.fromfile('segmentor.py')
    cfg.model.terms.maskd.loss.tokens = file
    init_default_scope(cfg.default_scope)
    MODELS.build(cfg.model).init_weights()


def double(path, key):
    """Write a checkpoint again with one tensor doubled."""
    content = read(path)
    content['state_dict'][key] *= 2
    torch.save(content, path)


def test_learning_tokens_goes_on(saved):
    resume('tokens')
    check_losses('tokens', 'tokens')
    found, expected = read('tokens/tokens.pth'), read('tokens.pth')
    assert found['info'] == expected['info']
    torch.testing.assert_close(
        found['state_dict'], expected['state_dict'], rtol=1e-3, atol=1e-5
    )


def test_pretraining_goes_on_with_its_queue(saved):
    runner, start = resume('pretraining')
    check_losses('pretraining', 'pretraining')
    before = {k: v for k, v in start.weights.items() if k.startswith('queue.')}
    after = state_of(runner.model)
    assert before['queue.teacher'] == after['queue.teacher'] != 0
    assert (before['queue.pointer'], after['queue.pointer']) == (4, 8)
    assert before['queue.written'].tolist() == [0, 0, 1, 1] + 28 * [-1]
    assert after['queue.written'].tolist() == (
        [0, 0, 1, 1, 2, 2, 3, 3] + 24 * [-1]
    )
    changed = (before['queue.vectors'] != after['queue.vectors']).any(0)
    assert changed.nonzero().flatten().tolist() == [4, 5, 6, 7]


def test_pretraining_does_not_go_on_with_another_teacher(saved):
    double('encoder.pth', 'backbone.conv1.weight')
    with pytest.raises(ValueError, match='a teacher with other weights'):
        resume('pretraining')


def test_a_pretrained_backbone_is_exported(saved, tool):
    path = f'pretraining/iter_{KEPT}.pth'
    tool('export_student.py', 'pretraining.py', path, 'out.pth')
    exported = read('out.pth')['state_dict']
    assert exported
    assert exported.keys() == {
        key for key in read(path)['state_dict'] if key.startswith('backbone.')
    }


CHECKPOINTS = sorted(FILES.rglob('*.pth'))


@for_each(CHECKPOINTS)
def test_no_checkpoint_names_a_module_of_the_package(path):
    """It could not be loaded once that module has another place."""
    names = pickled_names(path)
    assert names
    assert not [name for name in names if name.startswith('mmdistill')]


def pickled_names(path):
    """Modules and attributes that are imported when a file is loaded."""
    with zipfile.ZipFile(path) as archive:
        (member,) = (n for n in archive.namelist() if n.endswith('/data.pkl'))
        content = archive.read(member)
    found, strings = set(), []
    for operation, argument, _ in pickletools.genops(content):
        if operation.name == 'GLOBAL':
            found.add(argument)
        elif operation.name == 'STACK_GLOBAL':
            found.add(' '.join(strings[-2:]))
        if isinstance(argument, str):
            strings.append(argument)
    return found
