"""What MMEngine logged in a work dir."""

import json
from pathlib import Path


def records(folder: Path) -> list[dict]:
    """The records over all starts of a run, in the order of their steps."""
    found: dict[tuple, dict] = {}
    for path in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in path.read_text('utf-8').splitlines(keepends=True):
            if line.endswith('\n'):  # else it is being written
                record = json.loads(line)
                found[record['step'], 'loss' in record] = record
    return [found[key] for key in sorted(found)]


def curve(folder: Path, key: str) -> tuple[list[int], list[float]]:
    """Steps and values of what was logged under ``key``."""
    points = [(r['step'], r[key]) for r in records(folder) if key in r]
    return [step for step, _ in points], [value for _, value in points]
