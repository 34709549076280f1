"""What configs inherit from configs/_base_, instead of writing it again."""

import re
from collections import Counter

import pytest

from mmdistill_dense.export.student import student_config
from tests.helpers.configs import (
    CONFIGS,
    DISTILLED,
    FILES,
    ROOT,
    preset,
    read,
)
from tests.helpers.rules import for_each

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


def preset_rows(text):
    """Presets in the tables of a document: name, tau, weight."""
    row = r'^\| `([\w-]+?)(?:\.py)?` \| [^|]+ \| (\d+) \| (\d+)\b.*\|$'
    return re.findall(row, text, re.MULTILINE)


@pytest.mark.parametrize(
    ('page', 'rows'),
    [
        ('configs/cwd/README.md', 5),
        ('configs/pixel_wise/README.md', 1),
        ('docs/losses.md', 5),
    ],
)
def test_documents_say_what_the_presets_say(page, rows):
    found = preset_rows((ROOT / page).read_text(encoding='utf-8'))
    assert len(found) == rows
    for name, tau, weight in found:
        (term,) = preset(name).values()
        assert (float(tau), float(weight)) == (
            term.loss.tau,
            term.loss.loss_weight,
        )


def test_an_added_term_is_a_presets():
    """MMEngine merges no two bases with ``terms``: one is written out."""
    presets = dict(mmdet='cwd_openmmlab-det', mmseg='cwd_paper-logits')
    combined = [
        path
        for path in DISTILLED
        if path.name.startswith(('cwd-maskd_', 'cwd_features-logits_'))
    ]
    assert len(combined) == 4
    for path in combined:
        cfg = read(path)
        (added,) = set(cfg.model.terms) - set(cfg.terms)
        expected = preset(presets[cfg.default_scope])[added]
        assert cfg.model.terms[added] == expected, path.name


@for_each(DISTILLED)
def test_a_student_is_exported_without_this_package(path):
    assert 'mmdistill_dense' not in str(student_config(read(path)).to_dict())


def test_the_page_of_fgd_says_what_the_presets_say():
    text = (CONFIGS / 'fgd' / 'README.md').read_text(encoding='utf-8')
    row = r'^\| `(fgd_[\w-]+)` \| `([^`]+)` \| (.+) \|$'
    rows = re.findall(row, text, re.MULTILINE)
    assert len(rows) == 2
    for name, at, cells in rows:
        term = preset(name).fgd
        kinds = 'foreground', 'background', 'attention', 'context'
        weights = [term.loss[f'{kind}_weight'] for kind in kinds]
        assert at == term.at
        assert [float(cell) for cell in cells.split(' | ')] == weights
