"""Pre-training in real runs: going on, averages, precision, two processes."""

import re

import pytest
import torch
from mmengine.hooks import EMAHook

from ..helpers.contrast import (
    PREPROCESSOR,
    TEACHER,
    WIDTHS,
    encoder_file,
    pcd,
)
from ..helpers.pretraining import SIZE
from ..helpers.runs import (
    AtStart,
    KeepLosses,
    differing,
    run_config,
    runner,
    snapshot,
)
from ..helpers.tool_runs import TRAIN, run_script

VIEW = [
    dict(type='mmdistill_dense.RandomResizedCrop', size=SIZE),
    dict(type='RandomFlip', prob=0.5),
    dict(type='mmdistill_dense.ColorJitter', prob=0.8),
    dict(type='mmdistill_dense.GaussianBlur', prob=0.5),
]
LARS = dict(
    type='OptimWrapper',
    optimizer=dict(type='mmdistill_dense.LARS', lr=1.0),
)


def views(data, collate='default_collate'):
    """Loader of two views of each image of ``write_dataset``."""
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='mmdistill_dense.MultiView', transforms=[VIEW, VIEW]),
        dict(type='mmdistill_dense.PackViews'),
    ]
    return dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='InfiniteSampler', shuffle=True),
        collate_fn=dict(type=collate),
        dataset=dict(
            type='mmdistill_dense.UnlabelledImages',
            data_root=str(data),
            images='images',
            pipeline=pipeline,
        ),
    )


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    return encoder_file(tmp_path_factory.mktemp('encoder') / 'encoder.pth')


@pytest.fixture
def run(data, teacher, tmp_path):
    """``run(iters, ...)``: a Runner that has trained."""

    def call(iters, model=None, folder='run', **settings):
        model = dict(model or pcd(teacher), _scope_='mmseg')
        loader = settings.pop('train_dataloader', None) or views(data)
        settings = dict(optim_wrapper=LARS) | settings
        made = runner(
            model,
            data,
            tmp_path / folder,
            iters=iters,
            train_dataloader=loader,
            **settings,
        )
        made.train()
        return made

    return call


def test_a_run_that_goes_on_ends_like_one_that_did_not_stop(run, tmp_path):
    losses = KeepLosses()
    whole = run(4, folder='whole', hooks=[losses])
    run(2, save=2)
    begun, later = AtStart(), KeepLosses()
    second = run(4, resume=True, save=2, hooks=[begun, later])
    assert begun.state['queue.calls'] == 2
    assert begun.state['queue.pointer'] == 4
    assert differing(snapshot(whole.model), snapshot(second.model)) == []
    for step, expected in zip(later.steps, losses.steps[2:], strict=True):
        assert step == expected
    assert all(s['loss'] == s['loss_contrast'] > 0 for s in losses.steps)
    # The first step's average is over nothing; then 2 of 32 an iteration.
    filled = [step['queue_filled'].item() for step in losses.steps]
    assert filled == [0, 2 / 32, 4 / 32, 6 / 32]
    saved = torch.load(tmp_path / 'run/iter_4.pth', weights_only=False)
    kinds = {key.split('.')[0] for key in saved['state_dict']}
    assert kinds == {'backbone', 'attention', 'head', 'queue'}


@pytest.mark.parametrize('collate', ['default_collate', 'pseudo_collate'])
def test_geometry_reaches_the_model(run, data, teacher, collate):
    losses = KeepLosses()
    run(
        2,
        pcd(teacher, pairing='aligned'),
        train_dataloader=views(data, collate),
        hooks=[losses],
    )
    assert all(step['loss'].isfinite() for step in losses.steps)


def test_another_teacher_does_not_go_on(run, tmp_path):
    run(1, save=1)
    other = encoder_file(tmp_path / 'other.pth', TEACHER, WIDTHS, seed=9)
    with pytest.raises(ValueError, match='a teacher with other weights'):
        run(2, pcd(other), resume=True)


def test_what_is_averaged_is_the_student(run):
    ema = dict(type='EMAHook', momentum=0.5)
    made = run(3, custom_hooks=[ema], save=3)
    (hook,) = (h for h in made.hooks if isinstance(h, EMAHook))
    average = hook.ema_model.module
    assert not average.teacher.loaded  # no second one in memory
    assert not differing(snapshot(average.queue), snapshot(made.model.queue))
    assert differing(snapshot(average.head), snapshot(made.model.head))
    saved = torch.load(made.work_dir + '/iter_3.pth', weights_only=False)
    keys = {*saved['state_dict'], *saved['ema_state_dict']}
    assert not [key for key in keys if 'teacher.' in key]
    run(4, custom_hooks=[ema], resume=True)


def test_a_run_in_bfloat16(run, amp_on_a_cpu):
    if torch.cuda.is_available():
        pytest.skip('MMEngine takes the GPU')
    wrapper = dict(LARS, type='AmpOptimWrapper', dtype='bfloat16')
    losses, start = KeepLosses(), AtStart()
    made = run(2, optim_wrapper=wrapper, hooks=[losses, start])
    after = snapshot(made.model)
    moved = differing(start.state, after)
    assert 'backbone.layer1.0.conv1.weight' in moved
    for name, value in after.items():
        assert value.dtype in (torch.float32, torch.int64), name
        assert value.isfinite().all(), name
    assert all(step['loss'] > 0 for step in losses.steps)


def test_a_head_is_learned_and_then_teaches(run, teacher):
    learner = dict(
        type='mmdistill_dense.InstanceContrast',
        data_preprocessor=PREPROCESSOR,
        backbone=dict(
            TEACHER,
            init_cfg=dict(
                type='Pretrained',
                checkpoint=teacher['checkpoint'],
                prefix='backbone.',
            ),
        ),
        head=dict(widths=WIDTHS),
        frozen=True,
        input_size=SIZE,
    )
    first = run(2, learner, folder='head', save=2)
    path = first.work_dir + '/iter_2.pth'
    made = run(1, pcd(dict(teacher, checkpoint=path)))
    held = made.model.teacher.model
    found = dict(held.backbone.named_buffers())
    file = torch.load(teacher['checkpoint'], weights_only=True)['state_dict']
    for name, value in found.items():
        assert torch.equal(value, file[f'backbone.{name}']), name
    head = first.model.head[0].weight
    assert torch.equal(held.head.head[0].weight[..., 0, 0], head)


def test_two_processes_have_one_student_and_one_queue(data, teacher, tmp_path):
    """With seeds of their own, and no search for unused parameters."""
    cfg = run_config(
        dict(pcd(teacher), _scope_='mmseg'),
        data,
        tmp_path,
        iters=3,
        save=3,
        train_dataloader=views(data),
        optim_wrapper=LARS,
        randomness=dict(seed=0, diff_rank_seed=True),
        custom_imports=dict(imports=['tests.helpers.tool_runs']),
        custom_hooks=[dict(type='SaveEachRank')],
        find_unused_parameters=False,
    )
    cfg['default_hooks']['logger'] = dict(type='LoggerHook', interval=1)
    cfg['log_processor'] = dict(window_size=1, by_epoch=False)
    path = tmp_path / 'two.py'
    path.write_text('\n'.join(f'{k} = {v!r}' for k, v in cfg.items()))
    code, text = run_script(TRAIN, path, processes=2)
    assert code == 0, text[-3000:]
    one, two = (
        torch.load(tmp_path / f'rank_{rank}.pth', weights_only=True)
        for rank in range(2)
    )
    # Statistics of BatchNorm are each process's own, as in stock training.
    apart = differing(one, two)
    assert apart
    assert [key for key in apart if 'running_' not in key] == []
    assert one['queue.pointer'] == 3 * 2 * 2
    ages = [float(age) for age in re.findall(r'queue_age: (\S+)', text)]
    assert ages == [0, 1, 1.5]
    assert 'loss_contrast' in text
