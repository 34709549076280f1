"""Stage 1 of a MasKD config, and its learner with loaded tokens."""

from collections.abc import Sequence

from mmengine.config import Config, ConfigDict
from rich.console import RenderableType
from torch import nn

from mmdistill_dense.inspection import read_config
from mmdistill_dense.inspection.printing import format_size, table
from mmdistill_dense.models.maskd.token_files import read_tokens
from mmdistill_dense.models.maskd.token_images import LevelMasks
from mmdistill_dense.models.utils import build_model

from .two_stages import masked_terms


def stage_one(cfg: Config) -> Config:
    """The stage 1 config: ``cfg`` itself, or the one a stage 2 config names.

    Raises:
        FileNotFoundError: If the named config does not exist.
        ValueError: If ``cfg`` belongs to neither stage.
    """
    if _is_learner(cfg):
        return cfg
    name = cfg.get('token_cfg')
    if not name:
        raise ValueError(
            'expected a config of stage 1, whose model.type is '
            "'mmdistill_dense.MaskTokenLearner', or one of stage 2, which "
            'names it at its top level as token_cfg; got one with '
            f'model.type={cfg.model.type!r} and no token_cfg.'
        )
    stage = read_config(name)
    if not _is_learner(stage):
        raise ValueError(
            f'token_cfg={name!r} must be a config of stage 1, whose '
            "model.type is 'mmdistill_dense.MaskTokenLearner', got "
            f'{stage.model.type!r}.'
        )
    stage.model.teacher = ConfigDict(masked_terms(cfg)[1])
    return stage


def load_learner(cfg: Config, tokens: str, device: str) -> nn.Module:
    """Build the learner of a stage 1 config, with teacher and tokens.

    The number of tokens is that of the file.
    """
    first = read_tokens(tokens).modules[0]
    model = dict(num_tokens=first.num_tokens, weighting=first.prob is not None)
    cfg = Config({**cfg, 'model': {**cfg.model, **model}})
    learner = build_model(cfg).to(device)
    learner.load_tokens(tokens)
    learner.load_teacher()
    return learner.eval()


def summary(name: str, levels: Sequence[LevelMasks]) -> RenderableType:
    """A table of the levels of one image."""
    rows = [
        (
            str(index),
            format_size(tuple(dict.fromkeys(level.stride))),
            format_size(level.grid),
            f'{level.dice:.2f}',
            ' '.join(f'{mean:.2f}' for mean in level.means),
            ' '.join(f'{area:.0%}' for area in level.areas),
        )
        for index, level in enumerate(levels)
    ]
    columns = ('level', 'stride', 'grid', 'Dice', 'mean of each token', 'area')
    return table(name, columns, rows)


def _is_learner(cfg: Config) -> bool:
    return str(cfg.model.type).endswith('MaskTokenLearner')
