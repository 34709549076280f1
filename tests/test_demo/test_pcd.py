"""What the demo trains to show PCD."""

from pathlib import Path

import pytest

from mmdistill_tools.demo.comparisons import demo_study, skipped_models
from mmdistill_tools.demo.settings import Settings
from tests.helpers.demo import (
    DATA,
    config,
    config_of,
    planned,
    same_file,
    shapes_of,
    waits_for,
)


@pytest.mark.parametrize('data', DATA)
def test_pre_training_is_for_segmentors_only(data):
    assert list(planned(data, method='pcd')) == ['pspnet']
    study = demo_study(Settings(Path('work'), data, method='pcd'))
    assert skipped_models(study, 'pcd') == ['Mask R-CNN']


@pytest.mark.parametrize('data', DATA)
def test_each_stage_of_pcd_starts_from_the_one_before(data):
    (comparison,) = planned(data, method='pcd').values()
    runs = comparison.runs
    assert len(runs) == 5
    teacher, head, pre, last = (
        runs[role]
        for role in ('teacher', 'contrast', 'pretraining', 'distilled')
    )
    for run, source in ((head, teacher), (pre, head), (last, pre)):
        assert waits_for(run, source)
    cfgs = {role: config_of(run).model for role, run in runs.items()}
    start = dict(type='Pretrained', prefix='backbone.')
    for role, source in (('contrast', teacher), ('distilled', pre)):
        found = cfgs[role].backbone.init_cfg.to_dict()
        assert same_file(found.pop('checkpoint'), source.checkpoint)
        assert found == start
    assert cfgs['pretraining'].teacher.checkpoint == str(head.checkpoint)
    assert cfgs['pretraining'].teacher.head == cfgs['contrast'].head
    assert cfgs['pretraining'].backbone.init_cfg is None
    assert len({run.folder for run in runs.values()}) == len(runs)


@pytest.mark.parametrize('data', DATA)
def test_backbones_of_pcd_are_those_of_the_segmentors(data):
    (comparison,) = planned(data, method='pcd').values()
    runs = comparison.runs
    cfgs = {role: config_of(run).model for role, run in runs.items()}
    pre = cfgs['pretraining']
    teacher, student = (
        shapes_of(cfgs[role].backbone, 'mmseg')
        for role in ('teacher', 'student')
    )
    assert teacher != student
    assert shapes_of(cfgs['contrast'].backbone, 'mmseg') == teacher
    assert shapes_of(pre.teacher.backbone, 'mmseg') == teacher
    assert shapes_of(pre.backbone, 'mmseg') == student
    for key in ('strides', 'dilations', 'contract_dilation'):
        assert pre.backbone[key] == cfgs['student'].backbone[key]


@pytest.mark.parametrize('data', DATA)
def test_student_and_pre_trained_differ_in_their_start_only(data):
    (comparison,) = planned(data, seed=7, length=0.5, method='pcd').values()
    runs = comparison.runs
    student, pre_trained = (
        config_of(runs[role]).to_dict() for role in ('student', 'distilled')
    )
    pre_trained.pop('pretrained', None)  # a name in the file
    assert pre_trained['model']['backbone'].pop('init_cfg')
    student['model']['backbone'].pop('init_cfg', None)
    assert pre_trained == student


@pytest.mark.parametrize('role', ['contrast', 'pretraining'])
@pytest.mark.parametrize('data', DATA)
def test_a_shorter_pre_training_has_the_same_course(data, role):
    (comparison,) = planned(data, method='pcd', length=0.5).values()
    runs = comparison.runs
    cfg, scaled = config(runs[role].config), config_of(runs[role])
    factor = 0.2 if data else 0.5
    total = cfg.train_cfg.max_iters * factor
    assert scaled.train_cfg.max_iters == runs[role].length == total
    warmup, decay = scaled.param_scheduler
    assert warmup.end == decay.begin == cfg.param_scheduler[0].end * factor
    assert decay.end == total
    assert decay.T_max == total - decay.begin
    assert scaled.default_hooks.logger.interval == 1
