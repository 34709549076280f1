"""Several trainings, each started with ``tools/train.py``."""


class TrainingError(Exception):
    """Error that ends a training tool with a message for its user."""
