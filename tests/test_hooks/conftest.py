"""A small embedded data set, and what later stages start from."""

import pytest

from mmdistill_dense.datasets.shapes import write_dataset

from ..helpers.tool_runs import TRAIN, run_script


@pytest.fixture(scope='session')
def shapes(tmp_path_factory):
    """Root of 24 training and 3 validation images."""
    root = tmp_path_factory.mktemp('shapes') / 'data'
    write_dataset(root, train=24, val=3)
    return root


@pytest.fixture
def shapes_root(shapes, monkeypatch):
    """The same, for the configs of the demo."""
    monkeypatch.setenv('SHAPES_ROOT', f'{shapes.as_posix()}/')
    return shapes


@pytest.fixture(scope='session')
def stages(shapes, tmp_path_factory):
    """Files of stages that come first: config to file, made once."""
    folder, made = tmp_path_factory.mktemp('stages'), {}

    def make(config, name, *options):
        if config not in made:
            code, text = run_script(
                TRAIN,
                f'mmdistill_dense::{config}',
                '--work-dir',
                folder / config,
                '--cfg-options',
                'train_dataloader.batch_size=2',
                *options,
            )
            assert code == 0, text[-3000:]
            made[config] = folder / config / name
        return made[config]

    return make
