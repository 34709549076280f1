"""From what the demo is asked for to its trainings."""

import logging

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdistill_dense.compat import own_config
from mmdistill_dense.demo import main, plan, studies
from mmdistill_dense.engine.trainings import provenance
from mmdistill_dense.engine.trainings.schedule import length_options


@pytest.mark.parametrize('study', studies.SHAPES + studies.CAMVID)
def test_studies_name_configs_that_fit_each_other(study):
    teacher, student, distilled = (
        Config.fromfile(own_config(name)) for _, name in study.roles()
    )
    assert distilled.model.student.to_dict() == student.model.to_dict()
    assert teacher.model.to_dict() != student.model.to_dict()
    assert distilled.model.teacher.cfg.endswith(study.configs[0])
    assert study.margin > 0
    assert study.least > 0


@pytest.mark.parametrize('every', [studies.SHAPES, studies.CAMVID])
def test_a_validation_without_a_score_ends_no_training(every, tmp_path):
    data = tmp_path if every is studies.CAMVID else None
    for runs in plan.plan_all(plan.Settings(tmp_path, data)).values():
        for run in runs.values():
            cfg = Config.fromfile(run.config)
            cfg.merge_from_dict(run.options)
            assert cfg.default_hooks.checkpoint.save_best is None


@pytest.mark.parametrize('every', [studies.SHAPES, studies.CAMVID])
def test_student_and_distilled_differ_in_the_teacher_only(every, tmp_path):
    data = tmp_path if every is studies.CAMVID else None
    settings = plan.Settings(tmp_path, data, seed=7, length=0.5)
    plans = plan.plan_all(settings)
    assert tuple(plans) == every
    for runs in plans.values():
        student = dict(runs['student'].options)
        distilled = dict(runs['distilled'].options)
        teacher = distilled.pop('model.teacher.checkpoint')
        assert teacher == runs['teacher'].checkpoint
        assert teacher in runs['distilled'].after
        assert distilled['randomness.seed'] == 7
        theirs = [k for k in distilled if k.startswith('model.teacher')]
        for key in theirs:
            own = key.removeprefix('model.teacher.cfg_options.')
            assert distilled.pop(key) == runs['teacher'].options[own]
        assert student == {
            key.replace('model.student.', 'model.'): value
            for key, value in distilled.items()
        }
        assert len({run.folder for run in runs.values()}) == 3


@pytest.mark.parametrize('every', [studies.SHAPES, studies.CAMVID])
def test_detectors_start_from_segmentors_of_their_width(every, tmp_path):
    data = tmp_path if every is studies.CAMVID else None
    segmentors, detectors = plan.plan_all(
        plan.Settings(tmp_path, data)
    ).values()
    for role, run in detectors.items():
        source = 'teacher' if role == 'teacher' else 'student'
        assert segmentors[source].checkpoint in run.after
        cfg, weights = (
            Config.fromfile(r.config) for r in (run, segmentors[source])
        )
        cfg.merge_from_dict(run.options)
        weights.merge_from_dict(segmentors[source].options)
        backbone = cfg.model.get('student', cfg.model).backbone
        assert backbone.init_cfg.to_dict() == dict(
            type='Pretrained',
            prefix='backbone.',
            checkpoint=segmentors[source].checkpoint,
        )
        assert shapes_of(backbone, 'mmdet') == shapes_of(
            weights.model.backbone, 'mmseg'
        )


def shapes_of(backbone, scope):
    with DefaultScope.overwrite_default_scope(scope):
        built = MODELS.build({**backbone, 'init_cfg': None})
    return {key: value.shape for key, value in built.state_dict().items()}


@pytest.mark.parametrize('factor', [0.01, 0.5, 1, 3])
@pytest.mark.parametrize('name', ['pspnet', 'mask-rcnn'])
def test_a_shorter_schedule_has_the_same_course(name, factor):
    logging.disable()
    cfg = Config.fromfile(own_config(f'demo/{name}_student_shapes.py'))
    logging.disable(logging.NOTSET)
    options = length_options(cfg, factor)
    total = options['train_cfg.max_iters']
    assert total == pytest.approx(cfg.train_cfg.max_iters * factor, abs=6)
    scaled = cfg.copy()
    scaled.merge_from_dict(options)
    warmup, decay = scaled.param_scheduler
    assert warmup.begin == 0
    assert warmup.end == decay.begin >= 2
    assert decay.end == total
    # The last iteration is validated and saved.
    assert total % scaled.train_cfg.val_interval == 0
    assert total % scaled.default_hooks.checkpoint.interval == 0


@pytest.mark.parametrize('own', [None, '3'])
@pytest.mark.parametrize(
    ('usable', 'at_once', 'each'), [({5}, 1, '1'), (set(range(9)), 2, '4')]
)
def test_trainings_share_the_cores_that_may_be_used(
    monkeypatch, own, usable, at_once, each
):
    def train(runs, progress, slots):
        told.append(slots)

    told = []
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    if own:
        monkeypatch.setenv('OMP_NUM_THREADS', own)
    monkeypatch.setattr(main, 'train_all', train)
    monkeypatch.setattr(main, 'get_device', lambda: 'cpu')
    monkeypatch.setattr(provenance.os, 'cpu_count', lambda: 64)
    monkeypatch.setattr(
        provenance.os, 'sched_getaffinity', lambda _: usable, raising=False
    )
    main._train([], main.Console(quiet=True))
    assert told == [[{} if own else dict(OMP_NUM_THREADS=each)] * at_once]


def test_an_unfinished_data_set_is_not_taken(tmp_path, monkeypatch):
    def interrupted(folder):
        folder.mkdir(parents=True)
        raise KeyboardInterrupt('by the user')

    monkeypatch.setattr(main, 'write_dataset', interrupted)
    with pytest.raises(KeyboardInterrupt, match='by the user'):
        main._draw_pictures(tmp_path / 'data', main.Console(quiet=True))
    assert not (tmp_path / 'data').exists()
    monkeypatch.setattr(main, 'write_dataset', lambda folder: folder.mkdir())
    main._draw_pictures(tmp_path / 'data', main.Console(quiet=True))
    assert [path.name for path in tmp_path.iterdir()] == ['data']
