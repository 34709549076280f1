"""Settings of the demo, and their checks."""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

from mmdistill_tools.runs.tool import write_atomically

from . import DemoError

#: Distillation methods of the demo.
METHODS = ('cwd', 'maskd', 'pcd')
#: Files that ``--data`` must contain, see configs/camvid/README.md.
REQUIRED_FILES = (
    *(
        f'{folder}/{split}/*{suffix}'
        for folder, suffix in (('images', '.jpg'), ('labels', '.png'))
        for split in ('train', 'val')
    ),
    'annotations/instances_train.json',
    'annotations/instances_val.json',
)


@dataclass(frozen=True)
class Settings:
    """The options of ``tools/demo.py``.

    Attributes:
        work_dir: Output folder.
        data: CamVid folder, or None for the embedded data set.
        seed: Seed of the trainings.
        length: Factor on all iterations.
        method: One of ``METHODS``.
    """

    work_dir: Path
    data: Path | None = None
    seed: int = 0
    length: float = 1.0
    method: str = 'cwd'

    @property
    def data_root(self) -> Path:
        """Folder of the data set."""
        return self.data or self.work_dir / 'data'

    def environment(self) -> dict[str, str]:
        """Environment variable with the data folder, read by the configs."""
        name = 'CAMVID_ROOT' if self.data else 'SHAPES_ROOT'
        return {name: f'{self.data_root.resolve().as_posix()}/'}


def check_settings(settings: Settings) -> None:
    """Check the settings, and that the work dir has no demo of other data.

    Seeds and methods can share a work dir; the study refuses another length.

    Raises:
        DemoError: If a setting is invalid, or the work dir cannot be written
            or has a demo of other data.
    """
    if not 0 < settings.length < math.inf:  # nor is nan
        raise DemoError(
            '--length must be more than 0 and finite, got '
            f'{settings.length:g}: 1 is the full demo, 0.02 a quick look.'
        )
    # Checkpoints are passed as --cfg-options, which drop or split at some
    # characters; the data root is inserted into the text of the config.
    option = '--data' if settings.data else '--work-dir'
    _check_path('--work-dir', settings.work_dir, r'[\s,\'"\\]')
    _check_path(option, settings.data_root.resolve(), r'[\n\'"\\]')
    if settings.data:
        check_camvid(settings.data)
    data = str(settings.data.resolve()) if settings.data else None
    path = settings.work_dir / 'settings.json'
    try:
        if path.exists():
            _compare(path, data)
        else:
            write_atomically(path, json.dumps(dict(data=data)))
    except OSError as error:
        raise DemoError(
            f'--work-dir {settings.work_dir} cannot be used: {error}. '
            'Expected a folder that can be written, or made.'
        ) from error


def check_camvid(folder: Path) -> None:
    """Check that the folder has all files that the CamVid configs read.

    Raises:
        DemoError: If files are missing; the message lists them.
    """
    if not folder.is_dir():
        raise DemoError(
            f'--data {folder} is no folder. Expected CamVid in the layout of '
            'configs/camvid/README.md.'
        )
    missing = [name for name in REQUIRED_FILES if not any(folder.glob(name))]
    if missing:
        raise DemoError(
            f'--data {folder} lacks {", ".join(missing)}. Expected CamVid in '
            'the layout of configs/camvid/README.md, which python -m '
            'mmdistill_dense.datasets.camvid makes of the copy that comes '
            'with the SegNet tutorial; without --data the demo draws its own '
            'data_root.'
        )


def _check_path(option: str, path: Path, unwanted: str) -> None:
    found = re.search(unwanted, path.as_posix())
    if found:
        raise DemoError(
            f'{option} {path} has {found[0]!r} in it, which does not survive '
            'in the settings of a training. Expected a path without quotes '
            'and backslashes, and for --work-dir without white space and '
            'commas.'
        )


def _compare(path: Path, data: str | None) -> None:
    """Refuse data that differ from those in the settings file."""
    try:
        found = json.loads(path.read_text('utf-8'))['data']
    except (ValueError, KeyError, TypeError) as error:
        raise DemoError(
            f'{path} cannot be read as settings of the demo: {error!r}. '
            'Remove it if the runs beside it have the data of this call, '
            'else the whole folder.'
        ) from error
    if found != data:
        raise DemoError(
            f'{path.parent} holds a demo with --data {found}, this call has '
            f'--data {data}. Give another --work-dir, or remove that folder.'
        )
