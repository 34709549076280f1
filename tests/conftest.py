"""Quiet, reproducible tests."""

import logging

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.registry import DefaultScope

import mmdistill_dense  # noqa: F401


@pytest.fixture(autouse=True)
def _isolated(request):
    """Fix the seed; keep loggers and scopes of one test out of the next."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    MMLogger.get_current_instance().setLevel(logging.WARNING)
    yield
    MMLogger._instance_dict.clear()
    DefaultScope._instance_dict.clear()


@pytest.fixture
def log_lines(monkeypatch):
    """Every line that goes through ``print_log`` to the current logger."""
    lines = []

    class Keeper(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    logger = MMLogger.get_current_instance()
    logger.setLevel(logging.INFO)
    logger.addHandler(Keeper())
    return lines
