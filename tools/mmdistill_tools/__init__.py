"""Code of the commands in ``tools/``; found where those lie, not installed."""
