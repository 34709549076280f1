"""Inspection of a distilled or a stock model without training it."""

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
    """Terms of a config, the parts that its teachers skip, and its cost.

    Args:
        cfg: Config of a distilled model, of a token learner or of a
            pre-training model; the latter two are described by themselves.
        size: Height and width of the image, in pixels; default: those of
            the config, and for shapes those of its dry run.
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
    """Modules of a stock model or a distilled student to record."""
    size = size or dry_run_size(cfg)
    model = build_model(resolve_config(cfg.to_dict(), None))
    return module_tables(model, size, match, depth)
