"""What is sent to a logger."""

import logging

from mmengine.logging import MMLogger


def heard(logger=None):
    """Every line that a logger, else the current one, gets from now on."""
    lines = []

    class Keeper(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    if logger is None:
        logger = MMLogger.get_current_instance()
        logger.setLevel(logging.INFO)
    logger.addHandler(Keeper(level=logging.INFO))
    return lines
