"""What ``tools/demo.py`` does."""


class DemoError(Exception):
    """What ends the demo, as a sentence for its user."""
