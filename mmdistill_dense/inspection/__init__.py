"""Looking at a distilled model, or a stock one, without training it."""

from mmengine.config import Config
from rich.console import RenderableType

from mmdistill_dense.models.utils import build_model, resolve_config

from .costs import cost_tables
from .modules import module_tables
from .printing import show
from .source import (
    build_distilled,
    default_size,
    dry_run_size,
    has_description,
    read_config,
    whole_number,
)
from .terms import term_tables

__all__ = [
    'describe',
    'describe_modules',
    'read_config',
    'show',
    'whole_number',
]


def describe(
    cfg: Config, size: tuple[int, int] | None = None
) -> list[RenderableType]:
    """What a config distils, what its teachers skip, and what it costs.

    Args:
        cfg: Config of a distilled model; or of a learner of tokens or a
            pre-training, which says itself what it does.
        size: Height and width of the image, in pixels; default: the
            config's, for shapes those of its dry run.
    """
    if has_description(cfg):
        if size is not None:
            cfg.model.input_size = size
        return [build_model(cfg).describe()]
    model = build_distilled(cfg, size)
    return [
        *term_tables(model.distill, dry_run_size(cfg)),
        *cost_tables(model, size or default_size(cfg)),
    ]


def describe_modules(
    cfg: Config,
    size: tuple[int, int] | None = None,
    match: str | None = None,
    depth: int | None = None,
) -> list[RenderableType]:
    """What can be recorded of a stock model, or of a distilled student."""
    size = size or dry_run_size(cfg)
    model = build_model(resolve_config(cfg.to_dict(), None))
    return module_tables(model, size, match, depth)
