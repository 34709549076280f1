"""What ``tools/study.py`` does."""

from mmdistill_dense.engine.trainings import TrainingError


class StudyError(TrainingError):
    """What ends a study, as a sentence for its user."""
