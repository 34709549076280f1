"""Several trainings, each one as a user would start it."""


class TrainingError(Exception):
    """What ends a tool that trains, as a sentence for its user."""
