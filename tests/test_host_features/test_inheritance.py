"""``inherit`` in a Runner: what is loaded later wins."""

import pytest
import torch

from ..helpers.models import pspnet, save_weights
from ..helpers.runs import AtStart, differing, distilled, runner, student_part


@pytest.fixture
def inheriting(tmp_path):
    """Model config of a student that inherits, and what it inherits."""
    path = save_weights(
        pspnet(), tmp_path / 'teacher.pth', seed=3, scope='mmseg'
    )
    teacher = dict(cfg=pspnet(), checkpoint=path)
    model = dict(distilled(pspnet(), teacher), inherit=['decode_head'])
    return model, torch.load(path, weights_only=True)['state_dict']


def head(state):
    return {k: v for k, v in state.items() if k.startswith('decode_head.')}


def test_a_run_starts_with_what_is_inherited(inheriting, data, tmp_path):
    model, teacher_state = inheriting
    start = AtStart()
    runner(model, data, tmp_path, iters=1, hooks=[start]).train()
    assert not differing(head(start.state), head(teacher_state))
    assert differing(start.state, teacher_state)


def test_load_from_and_resume_win(inheriting, data, tmp_path):
    model, teacher_state = inheriting
    path = save_weights(pspnet(), tmp_path / 'own.pth', seed=7, scope='mmseg')
    start = AtStart()
    run = runner(
        *(model, data, tmp_path),
        **dict(iters=2, save=1, load_from=path, hooks=[start]),
    )
    run.train()
    own = torch.load(path, weights_only=True)['state_dict']
    assert not differing(own, student_part(start.state))
    saved = torch.load(tmp_path / 'iter_1.pth', weights_only=False)
    start = AtStart()
    resumed = runner(
        *(model, data, tmp_path),
        **dict(iters=2, hooks=[start], resume=True),
        load_from=str(tmp_path / 'iter_1.pth'),
    )
    resumed.train()
    assert resumed.iter == 2
    assert not differing(saved['state_dict'], start.state)
    assert differing(head(start.state), head(teacher_state))
