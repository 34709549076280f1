"""Versions, checkpoints and config scopes of the OpenMMLab stacks.

``install`` runs once, when the package is imported. It does not change
stock runs: it checks versions, lets ``torch.load`` read MMEngine's checkpoints
with ``weights_only=True``, and adds the configs of this package to MMEngine's
config parser.
"""

import os.path as osp
import re
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.config import utils as config_utils
from mmengine.fileio import load
from mmengine.logging import HistoryBuffer
from mmengine.runner import checkpoint as checkpoints
from mmengine.utils import digit_version

#: Oldest supported version of each module.
MINIMUM = dict(
    torch='2.0', mmengine='0.8', mmcv='2.0', mmdet='3.0', mmseg='1.0'
)
_VERSION = re.compile(
    r"""^__version__\b.*?=\s*(version\()?['"]([^'"]+)""", re.MULTILINE
)
REQUIRED = ('torch', 'mmengine', 'mmcv')


def install() -> None:
    """Check versions and extend MMEngine."""
    check_versions()
    _allow_own_checkpoints()
    _resolve_config_scopes()
    _load_torchvision_urls()


def check_versions() -> None:
    """Compare installed modules with :data:`MINIMUM`.

    Versions are those of modules, not of distributions, so that the stock
    stack and OneDL's fork are treated alike; the hosts are not imported.

    Raises:
        ImportError: If a module is missing or too old.
    """
    for name, minimum in MINIMUM.items():
        current = module_version(name)
        if current is None and name in REQUIRED:
            raise ImportError(
                f'mmdistill_dense needs {name} >= {minimum}, but {name} is '
                'not installed. Install it first (README, "Set up").'
            )
        if current and digit_version(current) < digit_version(minimum):
            raise ImportError(
                f'mmdistill_dense needs {name} >= {minimum}, but {name} '
                f'{current} is installed. Upgrade {name}, or use a separate '
                'environment.'
            )


def module_version(name: str) -> str | None:
    """Version of an importable module, read without importing it."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        return None
    for folder in spec.submodule_search_locations:
        path = osp.join(folder, 'version.py')
        if not osp.isfile(path):
            continue
        with open(path, encoding='utf-8') as file:
            match = _VERSION.search(file.read())
        if match:
            # OneDL's modules read the version of their distribution.
            return match[2] if match[1] is None else version(match[2])
    return getattr(import_module(name), '__version__', None)


def _history_attribute(owner: Any, name: str) -> Any:
    """Replacement of ``builtins.getattr`` while a checkpoint is unpickled.

    MMEngine's log buffers pickle references to their methods through
    ``getattr``; nothing else is allowed.
    """
    if owner is not HistoryBuffer or name.startswith('_'):
        raise TypeError(
            'The checkpoint refers to an attribute of '
            f'{owner!r} ({name!r}); only the methods of HistoryBuffer may be '
            'referred to. Load only files that you trust.'
        )
    return getattr(HistoryBuffer, name)


def _allow_own_checkpoints() -> None:
    """Allow MMEngine's checkpoints with ``weights_only=True`` (torch >= 2.6).

    A training checkpoint of MMEngine contains log histories and numpy
    scalars. They are allow-listed one by one; code in a file stays refused.
    """
    if digit_version(torch.__version__) < digit_version('2.6'):
        return
    # numpy 2 keeps the old name for files written by numpy 1.
    numpy: Any = np
    core = numpy.core if np.__version__ < '2' else numpy._core
    multiarray = core.multiarray
    named: list[Any] = [
        (member, f'numpy.{folder}.multiarray.{member.__name__}')
        for member in (multiarray._reconstruct, multiarray.scalar)
        for folder in ('core', '_core')
    ]
    kinds = {type(np.dtype(code)) for code in np.typecodes['All']}
    # By name: OneDL's mmengine allows the bare classes during a load and
    # removes them from the list afterwards.
    named += [
        (kind, f'{kind.__module__}.{kind.__qualname__}')
        for kind in (HistoryBuffer, np.ndarray, np.dtype, *kinds)
    ]
    named.append((_history_attribute, 'builtins.getattr'))
    torch.serialization.add_safe_globals(named)


def package_root() -> str:
    """Folder of ``configs`` and ``tools``, installed or checked out."""
    package = osp.dirname(osp.abspath(__file__))
    installed = osp.join(package, '.mim')
    return installed if osp.isdir(installed) else osp.dirname(package)


def _resolve_config_scopes() -> None:
    """Make ``_base_ = ['mmdistill_dense::...']`` work, and OneDL's mmseg.

    A base file of this package is parsed like a local file, without a scope,
    so that ``type='Resize'`` is still that of the host.
    """
    names = config_utils.MODULE2PACKAGE
    names['mmdistill_dense'] = 'mmdistill_dense'
    try:
        distribution('onedl-mmsegmentation')
        names['mmseg'] = 'onedl-mmsegmentation'
    except PackageNotFoundError:
        names.setdefault('mmseg', 'mmsegmentation')
    stock: Callable[[str, str], tuple[str, str | None]] = Config._get_cfg_path
    if getattr(stock, 'resolves_mmdistill_dense', False):
        return

    def get_cfg_path(cfg_path: str, filename: str) -> tuple[str, str | None]:
        scope, _, rest = cfg_path.partition('::')
        if scope == 'mmdistill_dense' and rest:
            return own_config(rest), None
        return stock(cfg_path, filename)

    get_cfg_path.resolves_mmdistill_dense = True  # type: ignore[attr-defined]
    Config._get_cfg_path = staticmethod(get_cfg_path)


def config_path(name: str) -> str:
    """Path of a config file, or of ``'package::path'`` of an installed one.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if '::' not in name:
        path = osp.expanduser(name)
    else:
        try:
            path = Config._get_cfg_path(name, '')[0]
        except (
            AssertionError,
            FileNotFoundError,
            ModuleNotFoundError,
            ValueError,
        ) as error:
            raise FileNotFoundError(
                f'config {name!r} cannot be looked up: {error}. Expected '
                "'package::folder/file.py' of an installed OpenMMLab package."
            ) from error
    if not osp.isfile(path):
        raise FileNotFoundError(f'config {name!r} does not exist ({path}).')
    return path


def own_config(name: str) -> str:
    """Absolute path of a config of this package, below ``configs/``."""
    path = osp.join(package_root(), 'configs', name)
    if not osp.isfile(path):
        raise FileNotFoundError(
            f'mmdistill_dense::{name} is not a config of this package: '
            f'{path} does not exist.'
        )
    return path


def _load_torchvision_urls() -> None:
    """Resolve ``torchvision://resnet50`` without torchvision.

    Stock configs start from such weights. MMEngine has the table of their
    addresses, but imports torchvision before reading it.
    """
    if find_spec('torchvision') is not None:
        return
    table = osp.join(osp.dirname(config_utils.__file__), '..', 'hub')

    def from_table(filename: str, map_location: Any = None) -> Any:
        urls = load(osp.join(table, 'torchvision_0.12.json'))
        name = filename.partition('://')[2]
        if name not in urls:
            raise ValueError(
                f'{filename} cannot be resolved without torchvision: known '
                f'names: {", ".join(sorted(urls))}. Install torchvision, or '
                'give a path or an address in init_cfg.'
            )
        return checkpoints.load_from_http(
            urls[name], map_location=map_location
        )

    checkpoints.CheckpointLoader.register_scheme(
        ('torchvision://', 'modelzoo://'), from_table, force=True
    )
