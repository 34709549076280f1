"""What the demo would train, and what it would have measured."""

from functools import cache
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdistill_dense.compat import config_path
from mmdistill_tools.demo.settings import Settings
from mmdistill_tools.demo.trios import ROLES, plan_demo
from mmdistill_tools.runs.scores import Outcome

#: Values of ``--data``.
DATA = [None, Path('camvid')]


@cache
def planned(data=None, **settings):
    """Trios by name; nothing is written."""
    _, trios = plan_demo(Settings(Path('work'), data, **settings))
    return {trio.name: trio for trio in trios}


@cache
def config(path):
    return Config.fromfile(config_path(path))


def config_of(run):
    cfg = config(run.config).copy()
    cfg.merge_from_dict(run.options)
    return cfg


def shapes_of(backbone, scope):
    with DefaultScope.overwrite_default_scope(scope):
        built = MODELS.build({**backbone, 'init_cfg': None})
    return {key: value.shape for key, value in built.state_dict().items()}


def outcomes(trio, teacher, student, distilled):
    return {
        role: Outcome(
            scores={trio.metric: value, 'coco/bbox_mAP': value + 1},
            classes=dict(disc=value),
            parameters=1_500_000,
            flops=2_340_000_000,
            images_per_second=41.6,
            examples=[],
        )
        for role, value in zip(
            ROLES, (teacher, student, distilled), strict=True
        )
    }
