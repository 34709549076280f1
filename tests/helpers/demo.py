"""What the demo would train."""

from functools import cache
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

from mmdistill_dense.compat import config_path
from mmdistill_tools.demo.comparisons import comparisons, demo_study
from mmdistill_tools.demo.settings import Settings

#: Values of ``--data``.
DATA = [None, Path('camvid')]


@cache
def planned(data=None, **settings):
    """Comparisons by model; nothing is written."""
    chosen = Settings(Path('work'), data, **settings)
    compared = comparisons(demo_study(chosen), chosen.method)
    return {comparison.model: comparison for comparison in compared}


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


def waits_for(run, other):
    """Whether it starts when another has ended; a finished model is there."""
    return bool(other.pretrained_checkpoint) or other.checkpoint in run.after


def same_file(path, other):
    return Path(path).resolve() == Path(other).resolve()
