"""MMEngine's log records of a work dir."""

import json
from pathlib import Path


def records(folder: Path) -> list[dict]:
    """Records of a run over all its starts, ordered by step."""
    found: dict[tuple, dict] = {}
    for path in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in path.read_text('utf-8').splitlines(keepends=True):
            if line.endswith('\n'):  # otherwise it is still being written
                record = json.loads(line)
                found[record['step'], 'loss' in record] = record
    return [found[key] for key in sorted(found)]


def curve(folder: Path, key: str) -> tuple[list[int], list[float]]:
    """Steps and values logged under ``key``."""
    points = [(r['step'], r[key]) for r in records(folder) if key in r]
    return [step for step, _ in points], [value for _, value in points]
