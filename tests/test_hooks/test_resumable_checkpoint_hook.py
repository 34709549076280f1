"""The order in which checkpoints come and go, and what it says on resume."""

import os
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.fileio import LocalBackend, register_backend

from mmdistill_dense.hooks import checkpoint_files

from .toy import Toy, runner

KIND = 'mmdistill_dense.ResumableCheckpointHook'
NAMES = dict(interval=2, max_keep_ckpts=1)
PLAIN = dict(type='CheckpointHook', **NAMES)


def toy():
    return Toy(loss=lambda _: random.random() + np.random.rand())


def train(folder, **settings):
    hook = dict(type=KIND, **NAMES)
    made = runner(folder, toy(), checkpoint=hook, **settings)
    made.train()
    return made


class Events(LocalBackend):
    """Notes what is written and removed."""

    seen = []

    def put(self, obj, filepath):
        self.seen.append(f'put {Path(filepath).name}')
        super().put(obj, filepath)

    def remove(self, filepath):
        self.seen.append(f'remove {Path(filepath).name}')
        super().remove(filepath)


register_backend('events', Events, force=True)


def test_the_old_checkpoint_goes_last_on_any_backend(tmp_path, monkeypatch):
    monkeypatch.setattr(Events, 'seen', [])
    put = checkpoint_files.AtomicLocalBackend.put
    monkeypatch.setattr(
        checkpoint_files.AtomicLocalBackend,
        'put',
        lambda self, obj, path: (
            Events.seen.append(f'put {Path(path).name}')
            or put(self, obj, path)
        ),
    )
    hook = dict(type=KIND, **NAMES, backend_args=dict(backend='events'))
    runner(tmp_path, toy(), checkpoint=hook, iters=4).train()
    assert Events.seen == [
        'put iter_2.pth',
        'put last_checkpoint',
        'put iter_4.pth',
        'put last_checkpoint',
        'remove iter_2.pth',
    ]


def test_files_are_those_of_mmengine(tmp_path):
    train(tmp_path / 'new')
    runner(tmp_path / 'old', toy(), checkpoint=PLAIN).train()
    # The folder of a run's log is named by its second.
    new, old = (
        {
            re.sub(r'^\d{8}_\d{6}$', 'log', p.name)
            for p in folder.iterdir()
            if p.suffix in ('', '.pth')
        }
        for folder in (tmp_path / 'new', tmp_path / 'old')
    )
    assert new == old
    assert {'iter_8.pth', 'last_checkpoint', 'log'} <= new


def test_a_checkpoint_left_by_a_kill_is_removed_on_resume(tmp_path):
    train(tmp_path, iters=4)
    last = (tmp_path / 'iter_4.pth').read_bytes()
    (tmp_path / 'iter_2.pth').write_bytes(last)  # as before its removal
    train(tmp_path, iters=6, resume=True)
    assert [p.name for p in tmp_path.glob('*.pth')] == ['iter_6.pth']


def test_a_failed_save_leaves_the_last_one(tmp_path, monkeypatch):
    train(tmp_path, iters=2)
    saved = (tmp_path / 'iter_2.pth').read_bytes()

    def full(_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError, match=r'iter_4.pth could not be .*No space'):
        train(tmp_path, iters=4, resume=True)
    assert (tmp_path / 'iter_2.pth').read_bytes() == saved
    assert (tmp_path / 'last_checkpoint').read_text().endswith('iter_2.pth')
    monkeypatch.undo()
    train(tmp_path, iters=4, resume=True)
    assert (tmp_path / 'iter_4.pth').exists()


def test_without_a_seed_the_seed_of_the_checkpoint_is_taken(tmp_path):
    whole = train(tmp_path / 'whole', randomness=dict(seed=5))
    train(tmp_path / 'part', iters=4, randomness=dict(seed=5))
    part = train(tmp_path / 'part', resume=True)
    assert part.train_dataloader.sampler.seed == 5
    assert torch.equal(whole.model.weight, part.model.weight)


def test_a_checkpoint_of_mmengine_resumes_with_a_sentence(tmp_path, capsys):
    runner(tmp_path, toy(), checkpoint=PLAIN, iters=4).train()
    train(tmp_path, resume=True)
    assert (tmp_path / 'iter_8.pth').exists()
    lines = [
        line
        for line in capsys.readouterr().out.splitlines()
        if 'not bit for bit' in line
    ]
    assert len(lines) == 1
    assert 'has no random states' in lines[0]


def test_another_number_of_processes_or_workers_is_logged(tmp_path, capsys):
    train(tmp_path, iters=4)
    path = tmp_path / 'iter_4.pth'
    content = torch.load(path, weights_only=False)
    content['process_states'] *= 2
    torch.save(content, path)
    train(tmp_path, iters=6, resume=True)
    content = torch.load(tmp_path / 'iter_6.pth', weights_only=False)
    content['process_states'][0]['workers'] = 3
    torch.save(content, tmp_path / 'iter_6.pth')
    train(tmp_path, iters=8, resume=True)
    lines = [
        line
        for line in capsys.readouterr().out.splitlines()
        if 'not bit for bit' in line
    ]
    assert 'states of 2 processes, and this training has 1' in lines[0]
    assert 'num_workers was 3 and is 0' in lines[1]


def test_a_corrupt_checkpoint_is_refused_before_it_is_loaded(tmp_path):
    train(tmp_path, iters=4)
    path = tmp_path / 'iter_4.pth'
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r'iter_4.pth cannot be resumed'):
        train(tmp_path, resume=True)
