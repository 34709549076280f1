"""What configs inherit from configs/_base_, instead of writing it again."""

import re
from collections import Counter

from tests.helpers.configs import CONFIGS, FILES

BASES = CONFIGS / '_base_'
#: What is trained, unlike the bases.
LEAVES = [path for path in FILES if BASES not in path.parents]


def code_lines(path):
    lines = map(str.strip, path.read_text(encoding='utf-8').splitlines())
    return [line for line in lines if line and not line.startswith('#')]


def test_a_leaf_is_at_most_25_lines():
    lengths = {path.name: len(code_lines(path)) for path in LEAVES}
    assert {k: n for k, n in lengths.items() if n > 25} == {}


def test_an_address_stands_once():
    text = ''.join(path.read_text(encoding='utf-8') for path in FILES)
    addresses = Counter(re.findall(r"https?://[^']+", text))
    assert [url for url, count in addresses.items() if count > 1] == []
