"""Quiet, reproducible tests, one thread in each process."""

import gc
import logging
import os
from functools import cache

import pytest
import torch
from mmengine import config
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

import mmdistill_dense  # noqa: F401

# Of the processes that tests start; this one's is set below.
os.environ['OMP_NUM_THREADS'] = '1'


@pytest.fixture(autouse=True, scope='session')
def _runs_start_quickly():
    """Leave out what MMEngine does at every start and no test looks at.

    It reads all metafiles of a host for a config that is named by it, and has
    yapf lay out a config wherever it is printed. Data sets collect garbage
    among all that the tests have imported.
    """
    gc.collect()
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config.utils, 'load', cache(config.utils.load))
        patch.setattr(
            config.config, 'FormatCode', lambda text, **_: (text, True)
        )
        yield
    gc.unfreeze()


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
