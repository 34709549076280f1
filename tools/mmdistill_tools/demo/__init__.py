"""Code of ``tools/demo.py``."""

from mmdistill_tools.runs import TrainingError


class DemoError(TrainingError):
    """Error that ends the demo with a message for its user."""
