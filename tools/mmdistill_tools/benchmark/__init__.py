"""What ``tools/benchmark.py`` does: ours, the floor and the peer, measured."""


class BenchmarkError(Exception):
    """What ends a benchmark, as a sentence for its user."""
