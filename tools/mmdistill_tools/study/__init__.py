"""What ``tools/study.py`` does."""

from mmdistill_tools.runs import TrainingError


class StudyError(TrainingError):
    """What ends a study, as a sentence for its user."""
