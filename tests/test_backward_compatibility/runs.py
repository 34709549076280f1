"""Where the files are, how long their runs are, and what a run logged."""

import json
from pathlib import Path

FILES = Path(__file__).parent / 'files'
#: Iterations of each run, and of the checkpoint that is kept of it.
LENGTH, KEPT = 4, 2


def logged(folder, after):
    """Losses, learning rate and more, from an iteration on.

    Args:
        folder: Work dir of a run.
        after: Number of the iterations that are left out.
    """
    records = [
        json.loads(line)
        for path in sorted(folder.glob('*/vis_data/scalars.json'))
        for line in path.read_text().splitlines()
    ]
    other = ('data_time', 'time', 'memory', 'epoch', 'iter')
    return [
        {key: value for key, value in record.items() if key not in other}
        for record in records
        if 'loss' in record and record['step'] > after
    ]
