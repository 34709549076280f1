"""Verdict, table and results file."""

import json
from io import StringIO

import pytest
from rich.console import Console

from mmdistill_tools.demo import DemoError, pictures, steps, verdict
from mmdistill_tools.demo.settings import Settings
from tests.helpers.demo import outcomes, planned

SEG, DET = planned().values()
(PCD,) = planned(method='pcd').values()


def test_a_teacher_with_something_to_teach_passes():
    assert verdict.complaint(SEG, outcomes(SEG, 45, 40, 30)) is None


@pytest.mark.parametrize('teacher', [40, 41.9])
def test_a_teacher_beside_its_student_is_named(teacher):
    said = verdict.complaint(SEG, outcomes(SEG, teacher, 40, 42))
    assert said.startswith('the PSPNet teacher is not clearly above')
    assert "2 points mIoU more than the student's 40.0" in said
    assert f'got {teacher:.1f}' in said
    assert '--length 2' in said


def test_a_teacher_that_learnt_too_little_is_named():
    said = verdict.complaint(DET, outcomes(DET, DET.least - 1, 1, 2))
    assert 'Mask R-CNN teacher learnt too little' in said
    assert f'mask AP {DET.least:g} or more, got {DET.least - 1:.1f}' in said


def test_a_loss_is_told_like_a_gain():
    gain = verdict.gained(SEG, outcomes(SEG, 50, 40, 43))
    assert '3.0 points mIoU above the student, 30 % of the way' in gain
    loss = verdict.gained(SEG, outcomes(SEG, 50, 40, 38.5))
    assert '1.5 points mIoU BELOW the student.' in loss


def test_pre_training_is_not_called_distillation():
    found = outcomes(PCD, 50, 40, 43)
    assert 'the pre-trained student is 3.0' in verdict.gained(PCD, found)
    console = Console(file=StringIO(), width=80)
    console.print(verdict.results_table({PCD: found}))
    assert 'PSPNet pre-trained' in console.file.getvalue()


def test_table_has_every_model():
    console = Console(file=StringIO(), width=80)
    results = {SEG: outcomes(SEG, 50, 40, 43), DET: outcomes(DET, 20, 8, 9)}
    console.print(verdict.results_table(results))
    lines = console.file.getvalue().splitlines()
    (line,) = [x for x in lines if 'Mask R-CNN distilled' in x]
    for cell in ('mask/box AP 9.0/10.0', '1.50 M', '2.34 G', '42'):
        assert cell in line
    assert sum('PSPNet' in x for x in lines) == 3
    assert len(lines) == 12  # nothing is wrapped at 80 columns


def test_results_hold_every_figure_of_the_table(tmp_path):
    path = tmp_path / 'results.json'
    verdict.write_results(
        path, {SEG: outcomes(SEG, 50, 40, 43)}, dict(seed=3), {}
    )
    content = json.loads(path.read_text())
    assert content['settings'] == dict(seed=3)
    found = content['studies']['pspnet']['distilled']
    assert found['config'] == 'demo/cwd_pspnet_shapes.py'
    assert (found['score'], found['metric']) == (43, 'mIoU')
    assert found['parameters'] == 1_500_000
    assert found['flops'] == 2_340_000_000
    assert found['images_per_second'] == 41.6
    assert found['classes'] == dict(disc=43)


def test_a_class_without_a_score_is_null_and_has_no_gain(tmp_path):
    found = outcomes(SEG, 50, 40, 43)
    for outcome in found.values():
        outcome.classes['ring'] = float('nan')
    path = tmp_path / 'results.json'
    verdict.write_results(path, {SEG: found}, {}, {})
    assert 'NaN' not in path.read_text()
    content = json.loads(path.read_text())
    classes = content['studies']['pspnet']['student']['classes']
    assert classes == dict(disc=40, ring=None)
    assert pictures.class_gains(found) == dict(disc=3)


@pytest.fixture
def no_training(monkeypatch):
    """Everything but the trainings' outcome is left out."""

    def pretend(scores):
        found = {
            trio: outcomes(trio, *values) for trio, values in scores.items()
        }
        monkeypatch.setattr(steps, '_draw_pictures', lambda *_: None)
        monkeypatch.setattr(steps, 'train_all', lambda *_: None)
        monkeypatch.setattr(steps, 'plan_demo', lambda _: ([], list(scores)))
        monkeypatch.setattr(steps, '_measure', lambda trio, *_: found[trio])
        monkeypatch.setattr(steps, '_finish', lambda *_: None)
        monkeypatch.setattr(steps, 'LEARNED', {})

    return pretend


def test_the_demo_ends_with_the_complaint_after_all_is_written(
    no_training, tmp_path
):
    no_training({SEG: (40, 40, 45), DET: (1, 0, 0)})
    console = Console(file=StringIO(), width=120)
    with pytest.raises(DemoError, match=r'not clearly above .* too little'):
        steps.run_demo(Settings(tmp_path), console)
    assert (tmp_path / 'results_cwd.json').exists()
    assert 'PSPNet distilled' in console.file.getvalue()


def test_the_demo_ends_well_whatever_distillation_brought(
    no_training, tmp_path
):
    no_training({SEG: (50, 40, 35), DET: (30, 10, 9)})
    console = Console(file=StringIO(), width=120)
    steps.run_demo(Settings(tmp_path), console)
    assert console.file.getvalue().count('BELOW') == 2


def test_what_a_method_has_no_part_in_is_said(no_training, tmp_path):
    no_training({PCD: (50, 40, 45)})
    console = Console(file=StringIO(), width=200)
    steps.run_demo(Settings(tmp_path, method='pcd'), console)
    said = console.file.getvalue()
    assert 'Mask R-CNN has no part in METHOD=pcd: here its student' in said
    assert 'PSPNet has no part' not in said
    content = json.loads((tmp_path / 'results_pcd.json').read_text())
    assert list(content['studies']) == ['pspnet']
