"""Code of ``tools/benchmark.py``: a distilled step, its floor and a peer."""


class BenchmarkError(Exception):
    """Error that ends a benchmark with a message for its user."""
