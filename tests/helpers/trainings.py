"""A stand-in for ``tools/train.py``, which trains nothing."""

import json

import torch

from mmdistill_tools.runs import process_pool

#: Writes what a training of 4 iterations leaves, once all of AWAIT happened.
#: A run is named by its work dir below ROOT; if it begins with FAILING, it
#: fails.
TRAIN = """
import json, os, shutil, sys, time
from pathlib import Path
folder = Path(sys.argv[sys.argv.index('--work-dir') + 1])
name = folder.resolve().relative_to(os.environ['ROOT']).as_posix()
events = Path(os.environ['EVENTS'])
def tell(what):
    with events.open('a') as file:
        file.write(f'{what} {name}\\n')
tell('start')
print('argv', sys.argv, flush=True)
missing = set(json.loads(os.environ['AWAIT']).get(name, ()))
end = time.monotonic() + 120
while missing - set(events.read_text().splitlines()):
    if time.monotonic() > end:
        sys.exit(f'waited in vain for {missing}')
    time.sleep(0.05)
if name.startswith(os.environ['FAILING']):
    sys.exit('something went wrong in it')
logs = folder / '20260101_000000' / 'vis_data'
logs.mkdir(parents=True, exist_ok=True)
with (logs / 'scalars.json').open('w') as file:
    print(json.dumps(dict(loss=1.5, step=4)), file=file)
    print(json.dumps(dict(mIoU=7.25, step=4)), file=file)
tell('end')
shutil.copy(os.environ['CHECKPOINT'], folder / 'iter_4.pth')
"""


class TrainStandIn:
    """What trains from here on, and the events it wrote.

    Args:
        folder: Gets the script; must not exist.
        root: Work dirs are named by their path below it.
        monkeypatch: Puts the script in its place.
    """

    def __init__(self, folder, root, monkeypatch):
        (folder / 'tools').mkdir(parents=True)
        (folder / 'tools' / 'train.py').write_text(TRAIN)
        monkeypatch.setattr(process_pool, 'package_root', lambda: folder)
        self._events = folder / 'events'
        self._checkpoint = save(folder / 'weights.pth')
        self._root = root.resolve()

    def slot(self, failing='bad', **awaited):
        """Environment of a run; ``awaited`` maps runs to events."""
        return dict(
            EVENTS=str(self._events),
            AWAIT=json.dumps(awaited),
            FAILING=failing,
            CHECKPOINT=str(self._checkpoint),
            ROOT=str(self._root),
        )

    def events(self):
        """Starts and ends so far, in their order."""
        if not self._events.exists():
            return []
        return self._events.read_text().splitlines()


def save(path):
    """Write a small checkpoint; returns its path."""
    weights = torch.nn.Linear(2, 3).state_dict()
    torch.save(dict(state_dict=weights, meta={}), path)
    return path
