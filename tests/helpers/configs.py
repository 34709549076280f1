"""The shipped configs: which there are, and what they say."""

import re
from functools import cache
from pathlib import Path

from mmengine.config import Config
from mmengine.registry import Registry

from mmdistill_dense import registry

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'


def own_types():
    """Names of all that this package registers."""
    for found in vars(registry).values():
        if isinstance(found, Registry) and found.scope == 'mmdistill_dense':
            found.import_from_location()
            yield from found.module_dict


def is_distilled(path):
    """Whether a config names a distiller, or inherits one beside it."""
    text = path.read_text(encoding='utf-8')
    inherits = re.search(r"_base_ = '\./(cwd|maskd)_", text)
    return path.parents[1] == CONFIGS and bool(
        'DenseDistiller' in text or inherits
    )


FILES = sorted(CONFIGS.rglob('*.py'))
#: Distilled from an encoder of another package.
ENCODERS = sorted((CONFIGS / 'encoders').glob('*.py'))
#: Distilled from a stock model.
DISTILLED = [p for p in FILES if is_distilled(p) and p not in ENCODERS]
#: What learns receptive tokens, the first stage of MasKD.
TOKENS = sorted(p for f in CONFIGS.iterdir() for p in f.glob('tokens_*.py'))
#: What pre-trains a backbone.
PRETRAINED = sorted(CONFIGS.glob('*/pcd_*.py'))
#: All of PCD: pre-training, evaluation, and what starts from it.
PCD = sorted((CONFIGS / 'pcd').glob('*.py'))


def relative(path):
    return path.relative_to(ROOT).as_posix()


@cache
def read(path):
    return Config.fromfile(str(path))


def preset(name):
    """Terms of a file in configs/_base_/terms."""
    return read(CONFIGS / '_base_' / 'terms' / f'{name}.py').terms
