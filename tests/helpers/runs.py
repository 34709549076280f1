"""Real Runners on small models and the data sets of ``datasets.py``."""

from copy import deepcopy
from pathlib import Path
from uuid import uuid4

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from .datasets import detection_dataset, segmentation_dataset

SGD = dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4)


def run_config(model, data, work_dir, iters=None, epochs=None, **settings):
    """Config of a training run, with validation on request.

    Args:
        model: Model config; its host is read from ``_scope_``, its own or
            its student's.
        data: Folder of ``write_dataset``.
        work_dir: Folder for logs and checkpoints.
        iters: Length of the run, or ``epochs``.
        settings: Override any top-level entry; ``val=True`` adds validation,
            ``save=n`` a checkpoint every n iterations or epochs,
            ``batch_size`` and ``shuffle`` go to the training data.
    """
    scope = scope_of(model)
    val, save = settings.pop('val', False), settings.pop('save', None)
    batch_size = settings.pop('batch_size', 2)
    shuffle = settings.pop('shuffle', True)
    sampler = 'InfiniteSampler' if iters else 'DefaultSampler'
    cfg = dict(
        default_scope=scope,
        experiment_name=uuid4().hex,
        work_dir=str(work_dir),
        model=deepcopy(model),
        train_dataloader=dict(
            batch_size=batch_size,
            num_workers=0,
            sampler=dict(type=sampler, shuffle=shuffle),
            dataset=dataset_of(scope, data),
        ),
        train_cfg=_loop(iters, epochs),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(SGD)),
        default_hooks=dict(checkpoint=None),
        randomness=dict(seed=0),
        log_processor=dict(by_epoch=not iters),
    )
    if save:
        cfg['default_hooks']['checkpoint'] = dict(
            type='CheckpointHook', by_epoch=not iters, interval=save
        )
    if val:
        cfg.update(validation(scope, data, 'val'))
    cfg.update(deepcopy(settings))
    return cfg


def distilled(student, teacher=None, terms=None):
    """Model config of a distilled student."""
    return dict(
        type='mmdistill_dense.DenseDistiller',
        student=student,
        teacher=teacher,
        terms=terms,
    )


def _loop(iters, epochs):
    if iters:
        return dict(
            type='IterBasedTrainLoop', max_iters=iters, val_interval=iters
        )
    return dict(type='EpochBasedTrainLoop', max_epochs=epochs)


def runner(*args, hooks=(), **settings):
    """Build a Runner from :func:`run_config`; ``hooks`` are instances."""
    built = Runner.from_cfg(Config(run_config(*args, **settings)))
    for hook in hooks:
        built.register_hook(hook, priority=hook.priority)
    return built


def scope_of(model):
    """The host of a model config: ``'mmdet'`` or ``'mmseg'``."""
    for key in ('student', 'module'):
        if key in model:
            return scope_of(model[key])
    return model['_scope_']


def dataset_of(scope, data, train=True):
    build = detection_dataset if scope == 'mmdet' else segmentation_dataset
    return build(data, train)


def validation(scope, data, name):
    """Loader, loop and metric of validation or test."""
    if scope == 'mmdet':
        metric = dict(
            type='CocoMetric',
            ann_file=str(Path(data) / 'instances.json'),
            metric='bbox',
        )
    else:
        metric = dict(type='IoUMetric')
    loader = dict(
        batch_size=1,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dataset_of(scope, data, train=False),
    )
    loop = dict(type=f'{name.capitalize()}Loop')
    return {
        f'{name}_dataloader': loader,
        f'{name}_evaluator': metric,
        f'{name}_cfg': loop,
    }


class KeepLosses(Hook):
    """Keeps what each training iteration logs."""

    priority = 'VERY_LOW'

    def __init__(self):
        self.steps = []

    def after_train_iter(self, runner, batch_idx, data_batch, outputs):
        self.steps.append({k: v.detach().clone() for k, v in outputs.items()})


class AtStart(Hook):
    """The model after loading, before the first iteration."""

    priority = 'VERY_LOW'

    def before_train(self, runner):
        self.state = snapshot(runner.model)


def snapshot(model):
    """A copy of every parameter and buffer of a state dict."""
    return {k: v.detach().clone() for k, v in model.state_dict().items()}


def differing(first, second):
    """Names whose tensors are not equal bit by bit, or are in one only."""
    return sorted(
        key
        for key in first.keys() | second.keys()
        if key not in first
        or key not in second
        or not torch.equal(first[key], second[key])
    )


def student_part(state):
    """The student's part of a distilled model's state dict or log."""
    return {
        key: value
        for key, value in state.items()
        if not key.startswith('distill.')
    }
