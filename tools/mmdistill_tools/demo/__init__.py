"""What ``tools/demo.py`` does."""

from mmdistill_tools.runs import TrainingError


class DemoError(TrainingError):
    """What ends the demo, as a sentence for its user."""
