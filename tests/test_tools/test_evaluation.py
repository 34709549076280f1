"""Options of ``tools/test.py``: each host gets what its own script does."""

import pytest
from mmengine.config import Config

from mmdistill_tools import evaluation


def config(scope: str, **settings) -> Config:
    """The parts of a host's config that the options touch."""
    pipeline = [dict(type='Load'), dict(type='Pack')]
    return Config(
        {
            'default_scope': scope,
            'model': dict(type='mmdistill_dense.DenseDistiller'),
            'visualizer': dict(type='Visualizer'),
            'default_hooks': dict(visualization=dict(type='Hook')),
            'train_dataloader': dict(batch_size=2),
            'test_dataloader': dict(dataset=dict(pipeline=pipeline)),
            'test_evaluator': dict(type='Metric'),
            **settings,
        }
    )


def visualize(cfg: Config, **options) -> None:
    defaults = dict(show=False, show_dir=None, wait_time=2.0)
    evaluation.set_visualization(cfg, **{**defaults, **options})


def test_detector_pictures_go_where_its_hook_says():
    cfg = config('mmdet')
    visualize(cfg, show_dir='pictures')
    assert cfg.default_hooks.visualization == dict(
        type='Hook', draw=True, test_out_dir='pictures'
    )
    assert cfg.train_dataloader.batch_size == 2


def test_segmentor_pictures_go_where_its_visualizer_says():
    cfg = config('mmseg')
    visualize(cfg, show_dir='pictures')
    assert cfg.default_hooks.visualization == dict(type='Hook', draw=True)
    assert cfg.visualizer.save_dir == 'pictures'


def test_segmentor_pictures_need_no_training_data():
    cfg = config('mmseg')
    visualize(cfg, show_dir='pictures')
    for key in (
        'train_dataloader',
        'train_cfg',
        'optim_wrapper',
        'param_scheduler',
    ):
        assert cfg[key] is None


def test_show_passes_the_waiting_time():
    cfg = config('mmseg')
    visualize(cfg, show=True, wait_time=0.5)
    assert cfg.default_hooks.visualization == dict(
        type='Hook', draw=True, show=True, wait_time=0.5
    )
    assert 'save_dir' not in cfg.visualizer


@pytest.mark.parametrize(
    ('scope', 'hook'),
    [('mmdet', 'DetVisualizationHook'), ('mmseg', 'SegVisualizationHook')],
)
@pytest.mark.parametrize('hooks', [None, {}])
def test_pictures_without_the_hook_are_refused(scope, hook, hooks):
    with pytest.raises(SystemExit, match=hook):
        visualize(config(scope, default_hooks=hooks), show=True)


@pytest.mark.parametrize(
    'evaluator',
    [
        dict(type='Metric'),
        [dict(type='Metric')],
        dict(type='Evaluator', metrics=dict(type='Metric')),
        dict(type='Evaluator', metrics=[dict(type='Metric')]),
    ],
)
def test_detector_dump_is_one_more_metric(evaluator):
    cfg = config('mmdet', test_evaluator=evaluator)
    evaluation.set_out(cfg, 'predictions.pkl')
    metrics = cfg.test_evaluator
    if isinstance(metrics, dict):
        assert metrics.type == 'Evaluator'
        metrics = metrics.metrics
    assert metrics == [
        dict(type='Metric'),
        dict(type='mmdet.DumpDetResults', out_file_path='predictions.pkl'),
    ]


def test_detector_dump_must_be_a_pickle():
    with pytest.raises(SystemExit, match=r"'predictions\.json' ends in"):
        evaluation.set_out(config('mmdet'), 'predictions.json')


@pytest.mark.parametrize(
    'evaluator', [dict(type='Metric'), [dict(type='Metric'), dict(type='B')]]
)
def test_segmentor_dump_is_a_folder_of_its_first_metric(evaluator):
    cfg = config('mmseg', test_evaluator=evaluator)
    evaluation.set_out(cfg, 'folder')
    assert cfg.test_evaluator[0] == dict(
        type='Metric', output_dir='folder', keep_results=True
    )
    assert all('output_dir' not in other for other in cfg.test_evaluator[1:])


def test_tta_of_the_config_is_taken():
    cfg = config(
        'mmseg', tta_model=dict(type='Own', a=1), tta_pipeline=[dict(b=2)]
    )
    evaluation.set_tta(cfg)
    assert cfg.model == dict(
        type='Own', a=1, module=dict(type='mmdistill_dense.DenseDistiller')
    )
    assert cfg.test_dataloader.dataset.pipeline == [dict(b=2)]


def test_detector_tta_defaults_to_flips():
    cfg = config('mmdet')
    with (
        pytest.warns(UserWarning, match='no tta_model: DetTTAModel'),
        pytest.warns(UserWarning, match='no tta_pipeline'),
    ):
        evaluation.set_tta(cfg)
    assert cfg.model.tta_cfg.nms.iou_threshold == 0.5
    load, tta = cfg.test_dataloader.dataset.pipeline
    assert load == dict(type='Load')
    flips, pack = tta.transforms
    assert [flip.prob for flip in flips] == [1.0, 0.0]
    assert 'flip_direction' in pack[0].meta_keys


def test_segmentor_tta_takes_the_model_but_no_invented_pipeline():
    with (
        pytest.warns(UserWarning, match='SegTTAModel'),
        pytest.raises(SystemExit, match='--tta needs tta_pipeline'),
    ):
        evaluation.set_tta(config('mmseg'))


def test_tta_reaches_data_sets_below_wrappers():
    leaf = dict(type='Leaf', pipeline=[dict(type='Pack')])
    wrapped = dict(
        type='Concat', datasets=[leaf, dict(type='Repeat', dataset=leaf)]
    )
    cfg = config(
        'mmseg',
        test_dataloader=dict(dataset=wrapped),
        tta_model=dict(type='Own'),
        tta_pipeline=[dict(b=2)],
    )
    evaluation.set_tta(cfg)
    first, second = cfg.test_dataloader.dataset.datasets
    assert first.pipeline == second.dataset.pipeline == [dict(b=2)]
    assert 'pipeline' not in cfg.test_dataloader.dataset
