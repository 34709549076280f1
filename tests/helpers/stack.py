"""Which of the two stacks is installed, where they differ."""

from importlib.metadata import PackageNotFoundError, version

import pytest


def installed(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return None


ONEDL = installed('onedl-mmengine') is not None
PACKAGES = (
    dict(
        mmengine='onedl-mmengine',
        mmcv='onedl-mmcv',
        mmdet='onedl-mmdetection',
        mmseg='onedl-mmsegmentation',
    )
    if ONEDL
    else dict(
        mmengine='mmengine', mmcv='mmcv', mmdet='mmdet', mmseg='mmsegmentation'
    )
)

unpickles_code = pytest.mark.skipif(
    ONEDL,
    reason="OneDL's mmengine falls back to weights_only=False by itself",
)
