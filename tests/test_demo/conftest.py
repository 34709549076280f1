"""The demo sets the data root for all that it starts; not for other tests."""

import os
from types import SimpleNamespace

import pytest

from mmdistill_tools.demo import plan
from tests.helpers.demo import config


@pytest.fixture(autouse=True, scope='module')
def _environment():
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def _configs_are_read_once(monkeypatch):
    monkeypatch.setattr(plan, 'Config', SimpleNamespace(fromfile=config))
