"""What ``tools/demo.py`` does."""

from mmdistill_dense.engine.trainings import TrainingError


class DemoError(TrainingError):
    """What ends the demo, as a sentence for its user."""
