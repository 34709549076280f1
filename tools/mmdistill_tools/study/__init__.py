"""Code of ``tools/study.py``."""

from mmdistill_tools.runs import TrainingError


class StudyError(TrainingError):
    """Error that ends a study with a message for its user."""
