"""Apply the options of ``tools/test.py`` to a config.

Detectors (``default_scope='mmdet'``) and segmentors (``'mmseg'``) differ in
where images and predictions are written; each follows its host's own script.
Types carry the host's prefix and no host is imported.
"""

import warnings
from collections.abc import Iterator
from copy import deepcopy

from mmengine.config import Config, ConfigDict

_DET_TTA = dict(
    type='DetTTAModel',
    tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100),
)
_DET_FLIPS = dict(
    type='TestTimeAug',
    transforms=[
        [
            dict(type='RandomFlip', prob=1.0),
            dict(type='RandomFlip', prob=0.0),
        ],
        [
            dict(
                type='PackDetInputs',
                meta_keys=(
                    'img_id',
                    'img_path',
                    'ori_shape',
                    'img_shape',
                    'scale_factor',
                    'flip',
                    'flip_direction',
                ),
            )
        ],
    ],
)


def is_mmseg(cfg: Config) -> bool:
    """Whether the config belongs to MMSegmentation, else to MMDetection."""
    return cfg.get('default_scope') == 'mmseg'


def set_visualization(
    cfg: Config, *, show: bool, show_dir: str | None, wait_time: float
) -> None:
    """``--show`` and ``--show-dir``: draw predictions while testing."""
    hook = (cfg.get('default_hooks') or {}).get('visualization')
    if hook is None:
        kind = 'Seg' if is_mmseg(cfg) else 'Det'
        raise SystemExit(
            '--show and --show-dir need the visualization hook. Add to the '
            "config: default_hooks = dict(visualization=dict(type='"
            f"{kind}VisualizationHook'))"
        )
    hook.draw = True
    if show:
        hook.update(show=True, wait_time=wait_time)
    if is_mmseg(cfg):
        _drop_training(cfg)
    if show_dir and is_mmseg(cfg):
        cfg.visualizer.save_dir = show_dir
    elif show_dir:
        hook.test_out_dir = show_dir


def _drop_training(cfg: Config) -> None:
    """Remove the training settings from a config that is only tested.

    SegVisualizationHook reads ``runner.iter``, for which the Runner builds the
    train loop and loads training data, which may be missing.
    """
    for key in (
        'train_dataloader',
        'train_cfg',
        'optim_wrapper',
        'param_scheduler',
    ):
        cfg[key] = None


def set_out(cfg: Config, out: str) -> None:
    """``--out``: dump predictions, one file or a folder as the host does."""
    if is_mmseg(cfg):
        metric = _metrics(cfg)[0]
        metric.update(output_dir=out, keep_results=True)
        return
    if not out.endswith(('.pkl', '.pickle')):
        raise SystemExit(
            f'--out of a detector is one pickle file, but {out!r} ends in '
            'neither .pkl nor .pickle.'
        )
    _metrics(cfg).append(
        ConfigDict(type='mmdet.DumpDetResults', out_file_path=out)
    )


def set_tta(cfg: Config) -> None:
    """``--tta``: test-time augmentation around the model."""
    if cfg.get('tta_model') is None:
        kind = dict(type='SegTTAModel') if is_mmseg(cfg) else _DET_TTA
        warnings.warn(
            f'The config has no tta_model: {kind["type"]} is taken.',
            stacklevel=2,
        )
        cfg.tta_model = deepcopy(kind)
    datasets = list(_datasets(cfg.test_dataloader.dataset))
    if cfg.get('tta_pipeline') is None:
        cfg.tta_pipeline = _default_tta_pipeline(cfg, datasets[0].pipeline)
    cfg.model = ConfigDict(**cfg.tta_model, module=cfg.model)
    for dataset in datasets:
        dataset.pipeline = deepcopy(cfg.tta_pipeline)


def _default_tta_pipeline(cfg: Config, pipeline: list) -> list:
    """The test pipeline with and without a flip, as in MMDetection."""
    if is_mmseg(cfg):
        raise SystemExit(
            '--tta needs tta_pipeline in the config of a segmentor; '
            'mmseg::_base_/datasets/cityscapes.py shows one.'
        )
    warnings.warn(
        'The config has no tta_pipeline: the test pipeline is taken, with '
        'and without a horizontal flip.',
        stacklevel=3,
    )
    return [*deepcopy(pipeline[:-1]), deepcopy(_DET_FLIPS)]


def _metrics(cfg: Config) -> list:
    """The list of metrics in ``test_evaluator``, created if necessary."""
    evaluator = cfg.test_evaluator
    owner, key = cfg, 'test_evaluator'
    if isinstance(evaluator, dict) and 'metrics' in evaluator:
        owner, key = evaluator, 'metrics'
    if isinstance(owner[key], dict):
        owner[key] = [owner[key]]
    return owner[key]


def _datasets(dataset: ConfigDict) -> Iterator[ConfigDict]:
    """The data sets that read files, below wrappers and concatenations."""
    if 'dataset' in dataset:
        yield from _datasets(dataset.dataset)
    elif 'datasets' in dataset:
        for part in dataset.datasets:
            yield from _datasets(part)
    else:
        yield dataset
