"""What is drafted trains; and drafts for stock pairs at their full size."""

import re

import pytest

from ..helpers.datasets import write_dataset
from ..helpers.tool_runs import write_student, write_teacher
from .pairs import run_tool


@pytest.mark.filterwarnings('ignore:SyncBN works on GPUs only')
def test_what_is_written_trains(draft, tmp_path, capsys):
    data = write_dataset(tmp_path / 'data', images=2)
    student = write_student(tmp_path, data, 'mmseg', iters=2)
    weights = write_teacher(tmp_path, student, {}, 'mmseg')
    draft(student, student, '--checkpoint', weights)
    path = tmp_path / 'project' / 'my.py'
    work_dir = tmp_path / 'work'
    text = run_tool(
        *(capsys, 'train', path, '--work-dir', work_dir),
        *('--cfg-options', 'custom_hooks.0.interval=1'),
    )
    assert text.count('loss_cwd: ') == 2
    assert text.count('gradient norm') >= 2  # what the hook says
    assert (work_dir / 'iter_2.pth').exists()


@pytest.mark.parametrize(
    'pair',
    [
        (
            'mmdet::yolox/yolox_tiny_8xb8-300e_coco.py',
            'mmdet::yolox/yolox_s_8xb8-300e_coco.py',
        ),
        pytest.param(
            (
                'mmseg::segformer/segformer_mit-b0_8xb1-160k_cityscapes-'
                '1024x1024.py',
                'mmseg::segformer/segformer_mit-b1_8xb1-160k_cityscapes-'
                '1024x1024.py',
            ),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            (
                'mmdet::detr/detr_r50_8xb2-150e_coco.py',
                'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
            ),
            marks=pytest.mark.slow,
        ),
    ],
    ids=['yolox', 'segformer', 'detr'],
)
def test_stock_pairs(draft, pair):
    text, cfg = draft(*pair)
    assert cfg.model.teacher.cfg == pair[1]
    assert re.search(rf'_base_ = \[\s*{re.escape(repr(pair[0]))}', text)
    assert 'Stopping there saves' in text
