"""Quiet, reproducible tests, one thread in each process."""

import logging
import os
from functools import cache

import pytest
import torch
from mmengine.config import utils
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

import mmdistill_dense  # noqa: F401

# Of the processes that tests start; this one's is set below.
os.environ['OMP_NUM_THREADS'] = '1'


@pytest.fixture(autouse=True, scope='session')
def _metafiles_are_read_once():
    """MMEngine reads all those of a host for each config named by it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, 'load', cache(utils.load))
        yield


@pytest.fixture(autouse=True)
def _isolated():
    """Fix the seed; keep loggers and scopes of one test out of the next."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    MMLogger.get_current_instance().setLevel(logging.WARNING)
    yield
    MMLogger._instance_dict.clear()
    DefaultScope._instance_dict.clear()


@pytest.fixture
def log_lines():
    """Every line that goes through ``print_log`` to the current logger."""
    lines = []

    class Keeper(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    logger = MMLogger.get_current_instance()
    logger.setLevel(logging.INFO)
    logger.addHandler(Keeper())
    return lines
