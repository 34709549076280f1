"""Packaging. Everything static is here; tool settings are in pyproject.toml.

The wheel carries ``tools/``, ``configs/`` and ``model-index.yml`` under
``mmdistill_dense/.mim``, where MIM looks for them. They are copied straight
into the build, never into the checkout, so there is nothing to clean up and
parallel or failing builds leave no trace.
"""

import re
import shutil
import tempfile
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).resolve().parent
MIM = ('tools', 'configs', 'model-index.yml')
NOT_SHIPPED = shutil.ignore_patterns('dev', '__pycache__', '*.py[cod]', '.*')
# The two stacks import under the same names and overwrite each other's files,
# so neither may be a hard requirement: versions are checked at import.
EXTRAS = {
    'onnx': ['onnx', 'onnxscript', 'onnxruntime'],
    'safetensors': ['safetensors'],
    'openmmlab': [
        'mmengine>=0.8.0',
        'mmcv>=2.0.0,<2.2.0',
        'mmdet>=3.0.0',
        'mmsegmentation>=1.0.0',
        'ftfy',
        'regex',
    ],
    'onedl': [
        'onedl-mmengine>=0.10.8',
        'onedl-mmcv',
        'onedl-mmdetection',
        'onedl-mmsegmentation',
    ],
}


def copy_mim(package: Path) -> None:
    """Copy what MIM reads below ``package``, as real files."""
    target = package / '.mim'
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for name in MIM:
        source = HERE / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=NOT_SHIPPED)
        else:
            shutil.copy2(source, target / name)


class BuildWithMim(build_py):
    """Add ``.mim`` to a wheel; an editable install reads the checkout."""

    def run(self):
        super().run()
        if not self.editable_mode:
            copy_mim(Path(self.build_lib, 'mmdistill_dense'))


class SdistWithMim(sdist):
    """Add ``.mim`` to the archive's own tree."""

    def make_release_tree(self, base_dir, files):
        super().make_release_tree(base_dir, files)
        copy_mim(Path(base_dir, 'mmdistill_dense'))


def version() -> str:
    """Read the version without importing the package (it needs torch)."""
    text = (HERE / 'mmdistill_dense' / 'version.py').read_text('utf-8')
    return re.search(r"__version__ = '(.+)'", text).group(1)


def readme() -> str:
    """The long description; a checkout in the making may lack it."""
    path = HERE / 'README.md'
    return path.read_text('utf-8') if path.exists() else ''


# A scratch folder instead of ./build and ./*.egg-info: what an earlier or a
# parallel build left there would otherwise end up in this wheel.
with tempfile.TemporaryDirectory() as scratch:
    setup(
        name='mmdistill_dense',
        version=version(),
        description='Distillation of dense-prediction models for OpenMMLab',
        long_description=readme(),
        long_description_content_type='text/markdown',
        license='Apache-2.0',
        python_requires='>=3.10',
        packages=find_packages(include=['mmdistill_dense*']),
        install_requires=[],
        extras_require=EXTRAS,
        zip_safe=False,
        cmdclass={'build_py': BuildWithMim, 'sdist': SdistWithMim},
        options={
            'build': {'build_base': scratch},
            'egg_info': {'egg_base': scratch},
        },
        classifiers=[
            'Development Status :: 4 - Beta',
            'Intended Audience :: Science/Research',
            'Operating System :: OS Independent',
            'Programming Language :: Python :: 3',
            'Topic :: Scientific/Engineering :: Image Recognition',
        ],
    )
