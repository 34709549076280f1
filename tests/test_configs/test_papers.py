"""The papers beside the shipped configs: metafiles and READMEs."""

import re
from pathlib import Path

import yaml

from mmdistill_dense.compat import config_path
from tests.helpers.configs import (
    CONFIGS,
    DISTILLED,
    ENCODERS,
    PCD,
    PRETRAINED,
    ROOT,
    read,
)
from tests.helpers.rules import for_each


def load_yaml(path):
    return yaml.safe_load(path.read_text(encoding='utf-8'))


def metafiles():
    return [ROOT / p for p in load_yaml(ROOT / 'model-index.yml')['Import']]


def test_model_index_lists_every_metafile():
    assert set(metafiles()) == set(CONFIGS.rglob('metafile.yml'))


def test_metafiles_list_every_config_of_a_method():
    content = [load_yaml(path) for path in metafiles()]
    collections = [c for meta in content for c in meta.get('Collections', [])]
    for collection in collections:
        assert (ROOT / collection['README']).is_file()
        assert (ROOT / collection['Code']).is_file()
    models = [model for meta in content for model in meta['Models']]
    names = {collection['Name'] for collection in collections}
    for model in models:
        assert (ROOT / model['Config']).is_file()
        assert model['Name'] == Path(model['Config']).stem
        assert model['In Collection'] in names
    listed = sorted(ROOT / model['Config'] for model in models)
    assert listed == sorted({*DISTILLED, *ENCODERS, *PRETRAINED, *PCD})


def table_rows(readme):
    """Config name -> cells of its row in the tables of a README."""
    for line in readme.read_text(encoding='utf-8').splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        link = re.fullmatch(r'\[config\]\(\./(.+)\)', cells[-1])
        if link and len(cells) == 6:
            yield link[1], cells


def numbers(cell):
    pattern = r'\d+(?:\.\d+)?(?:e-?\d+)?'
    return [float(number) for number in re.findall(pattern, cell)]


def setting_of(term):
    """The one setting of a term that the tables of a README name."""
    if 'tau' in term.loss:
        return [term.loss.tau]
    connector = term.get('connector') or {}
    return [connector['mask_ratio']] if 'mask_ratio' in connector else []


@for_each(DISTILLED)
def test_readme_says_what_the_config_says(path):
    cells = dict(table_rows(path.parent / 'README.md'))[path.name]
    cfg = read(path)
    losses = [term.loss for term in cfg.model.terms.values()]
    assert numbers(cells[4]) == [loss.loss_weight for loss in losses]
    if 'token_cfg' in cfg:
        learner = Path(config_path(cfg.token_cfg))
        count = read(learner).model.num_tokens
        link = re.fullmatch(r'\[(\d+)\]\((.+)\)', cells[3])
        assert int(link[1]) == count
        assert (path.parent / link[2]).resolve() == learner.resolve()
    else:
        expected = [x for t in cfg.model.terms.values() for x in setting_of(t)]
        assert numbers(cells[3]) == expected


@for_each(sorted(CONFIGS.rglob('README.md')))
def test_readme_links_exist(readme):
    text = readme.read_text(encoding='utf-8')
    for link in re.findall(r'\]\((\.[^)]+)\)', text):
        assert (readme.parent / link).exists(), link


def test_switches_of_the_maskd_readme_exist():
    text = (CONFIGS / 'maskd' / 'README.md').read_text(encoding='utf-8')
    keys = set(re.findall(r'--cfg-options ([\w.]+)=', text))
    configs = [read(path) for path in DISTILLED if 'maskd' in path.name]
    assert len(keys) > 5
    for key in keys:
        assert any(has(cfg, key.split('.')) for cfg in configs), key


def has(node, keys):
    return not keys or (keys[0] in node and has(node[keys[0]], keys[1:]))
