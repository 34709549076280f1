"""What the demo would train, and what it would have measured."""

from functools import cache
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdistill_tools.demo import plan, studies
from mmdistill_tools.runs.scores import Outcome

EVERY = [studies.SHAPES, studies.CAMVID]


@cache
def planned(every, **settings):
    """Runs of the studies; nothing is written."""
    data = Path('camvid') if every is studies.CAMVID else None
    return plan.plan_all(plan.Settings(Path('work'), data, **settings))


@cache
def config(path):
    return Config.fromfile(path)


def config_of(run):
    cfg = config(run.config).copy()
    cfg.merge_from_dict(run.options)
    return cfg


def shapes_of(backbone, scope):
    with DefaultScope.overwrite_default_scope(scope):
        built = MODELS.build({**backbone, 'init_cfg': None})
    return {key: value.shape for key, value in built.state_dict().items()}


def outcomes(study, teacher, student, distilled):
    return {
        role: Outcome(
            scores={study.metric: value, 'coco/bbox_mAP': value + 1},
            classes=dict(disc=value),
            parameters=1_500_000,
            flops=2_340_000_000,
            images_per_second=41.6,
            examples=[],
        )
        for role, value in zip(
            studies.ROLES, (teacher, student, distilled), strict=True
        )
    }
