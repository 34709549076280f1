"""The model below what a Runner wraps around it."""

from typing import Any

from mmengine.model import is_model_wrapper
from mmengine.runner import Runner


def bare_model(runner: Runner) -> Any:
    """The Runner's model, without data parallel training around it."""
    model = runner.model
    return model.module if is_model_wrapper(model) else model
