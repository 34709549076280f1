"""The demo sets the data root for all that it starts; not for other tests."""

import os

import pytest


@pytest.fixture(autouse=True, scope='module')
def _environment():
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
