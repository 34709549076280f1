"""Code of ``tools/benchmark.py``: a distilled step, its floor and a peer."""


class BenchmarkError(Exception):
    """What ends a benchmark, as a sentence for its user."""
