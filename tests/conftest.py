"""Quiet, reproducible tests, one thread in each process."""

import gc
import logging
import os
from functools import cache, partial

import numpy as np
import pytest
import torch
from mmengine import config
from mmengine.logging import MessageHub, MMLogger
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

import mmdistill_dense  # noqa: F401

from .helpers.log import heard

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
    """Fix the seeds; keep what one test leaves by name out of the next."""
    torch.manual_seed(0)
    np.random.seed(0)
    torch.set_num_threads(1)
    MMLogger.get_current_instance().setLevel(logging.WARNING)
    yield
    named = (MMLogger, MessageHub, DefaultScope, Visualizer)
    for kind in (*named, *Visualizer.__subclasses__()):
        kind._instance_dict.clear()


@pytest.fixture
def log_lines():
    """Every line that goes through ``print_log`` to the current logger."""
    return heard()


@pytest.fixture
def amp_on_a_cpu(monkeypatch):
    """MMEngine's wrapper refuses CPUs; its scaler need not."""
    monkeypatch.setattr(
        amp_optimizer_wrapper, 'is_cuda_available', lambda: True
    )
    scaler = partial(torch.amp.GradScaler, 'cpu')
    monkeypatch.setattr(amp_optimizer_wrapper, 'GradScaler', scaler)
