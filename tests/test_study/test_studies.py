"""The studies of the documentation can be run."""

from functools import cache

import pytest

from mmdistill_tools.study import plan
from mmdistill_tools.study.definition import read_study
from mmdistill_tools.study.results import ResultsFile
from mmdistill_tools.study.session import entries_without_result

from ..helpers.configs import ROOT
from ..helpers.rules import for_each

STUDIES = sorted((ROOT / 'docs' / 'studies').glob('*.yaml'))
#: Options of a teacher's own config.
TEACHER = 'model.teacher.cfg_options.'


@pytest.fixture
def planned(monkeypatch):
    """Read and plan a study, from the folder that its paths start at."""
    monkeypatch.chdir(ROOT)
    return plan_once


@cache
def plan_once(path):
    study = read_study(path)
    return study, plan.plan_study(study)


@for_each(STUDIES)
def test_a_study_can_be_planned(path, planned):
    study, entries = planned(path)
    assert {entry.row.name for entry in entries} == set(study.rows)
    for row in study.rows.values():
        cfg = plan._read(row.config)
        for key in row.options:
            if not row.scored and key.startswith('val_'):
                continue  # left out of its runs
            assert is_read(cfg, key, row.options), key


def is_read(cfg, key, options):
    """Whether an option changes what a config says, or adds to a module.

    A module that is built refuses what it does not know, and so does a
    teacher.
    """
    if key.startswith(TEACHER):
        name = options.get('model.teacher.cfg', cfg.model.teacher.cfg)
        return is_read(plan._read(name), key.removeprefix(TEACHER), {})
    *parts, last = key.split('.')
    for part in parts:
        if isinstance(cfg, (list, tuple)):
            part = int(part)
        elif cfg.get(part) is None:
            return part in cfg  # as None: an option says what
        cfg = cfg[part]
    return last in cfg or 'type' in cfg or parts == ['model', 'teacher']


@pytest.mark.parametrize(
    'key',
    [
        'model.backbone.deep_stem',
        'model.decode_head.channels',
        'val_dataloader.dataset.indices',
        'param_scheduler.0.end',
    ],
)
def test_options_are_found(key):
    cfg = plan._read('mmdistill_dense::camvid/pspnet_r18-d8_camvid-128x160.py')
    assert is_read(cfg, key, {})
    for wrong in (f'x{key}', key.replace('.', '.x', 1).replace('x0', '9')):
        with pytest.raises((AssertionError, IndexError, ValueError)):
            assert is_read(cfg, wrong, {})


@for_each(STUDIES)
def test_results_are_those_of_the_study_as_it_is(path, planned):
    study, entries = planned(path)
    results = ResultsFile(study.results)
    missing = entries_without_result(
        entries, results
    )  # refuses other settings
    assert missing == []
    assert len(results.results) == len(entries)  # of no row that is gone
