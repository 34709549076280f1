"""The shipped configs, found without reading them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs'


def is_distilled(path):
    """Whether a config names a distiller, or inherits one beside it."""
    text = path.read_text(encoding='utf-8')
    inherits = re.search(r"_base_ = '\./cwd_", text)
    return path.parents[1] == CONFIGS and bool('Distiller' in text or inherits)


FILES = sorted(CONFIGS.rglob('*.py'))
DISTILLED = [path for path in FILES if is_distilled(path)]
