"""The tests of kernels, with Triton's interpreter in place of a GPU."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from packaging.version import Version

HERE = Path(__file__).parent
FILES = dict(channel_wise=70, squared_error=40, pixel_contrast=25)


def test_every_file_is_named():
    asking = {
        path.stem.removeprefix('test_')
        for path in HERE.glob('test_*.py')
        if re.search(r'^def test_\w+\(device', path.read_text(), re.MULTILINE)
    }
    assert asking - {'usable'} == set(FILES)


def check_interpreter():
    """Skip where Triton's interpreter fails whatever the kernel.

    Before 3.7 it takes ``int`` of an array with one element where a kernel
    counts, which numpy refuses from 2.4 on.
    """
    triton = pytest.importorskip('triton')
    if Version(triton.__version__) < Version('3.7'):
        try:
            int(np.ones(1))
        except TypeError:
            pytest.skip(
                f'the interpreter of Triton {triton.__version__} fails with '
                f'numpy {np.__version__}: use Triton >= 3.7 or numpy < 2.4'
            )


def test_interpreted():
    check_interpreter()
    done = subprocess.run(
        [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider']
        + [HERE / f'test_{name}.py' for name in FILES],
        cwd=HERE.parents[1],
        env={**os.environ, 'TRITON_INTERPRET': '1', 'PYTEST_ADDOPTS': ''},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # Nothing but passed, and no fewer than there are to pass.
    last = done.stdout.strip().splitlines()[-1]
    summary = re.fullmatch(r'(\d+) passed(, \d+ warnings?)? in .*', last)
    assert summary, done.stdout
    assert int(summary[1]) >= sum(FILES.values())
