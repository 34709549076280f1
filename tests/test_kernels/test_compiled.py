"""Kernels are compiled for GPUs, and fit them; no GPU is needed."""

import os

import pytest

pytest.importorskip('triton')
pytestmark = pytest.mark.skipif(
    os.environ.get('TRITON_INTERPRET') == '1',
    reason='with TRITON_INTERPRET=1 Triton compiles nothing',
)

#: Registers of a multiprocessor, of 4 bytes each.
REGISTERS = 2**16
#: Bytes that a thread may keep outside of them: some versions of Triton put a
#: value or a few aside before a loop, which costs nothing that is measured.
SPILLED = 64
#: Bytes that a block may have of each multiprocessor that we compile for.
SHARED = {80: 163 * 2**10, 90: 227 * 2**10}
DTYPES = 'float32', 'float16', 'bfloat16'

each_capability = pytest.mark.parametrize(
    'capability', [pytest.param(80, marks=pytest.mark.slow), 90]
)
each_dtype = pytest.mark.parametrize('dtype', DTYPES)


@pytest.fixture
def compiled(tmp_path, monkeypatch):
    """Compile anew, keep nothing, and hold the result against its GPU."""
    from .compiling import compiled

    # The user's cache would answer for a kernel of before.
    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))

    def compile_(kernel, capability, *, warps=4, **given):
        result = compiled(kernel, capability, tmp_path, warps=warps, **given)
        assert f'sm_{capability}' in result.ptx
        assert kernel.__name__ in result.ptx
        # How many registers a kernel takes differs by Triton's version: a
        # block must find room among those of a multiprocessor.
        assert 16 <= result.registers <= REGISTERS // (32 * warps)
        assert result.spilled <= SPILLED
        assert result.shared <= SHARED[capability]
        return result

    return compile_


def along(sides, dimension):
    """Neighbours in memory, as a launch tells it."""
    return {f'{side}_{dimension}': 1 for side in sides}


@each_capability
@each_dtype
def test_rows(compiled, capability, dtype):
    from mmdistill_dense.kernels.divergence_rows import rows

    lanes = 128 if dtype == 'float32' else 256
    result = compiled(
        rows,
        capability,
        maps=dict.fromkeys(('student', 'teacher', 'gradient'), dtype),
        sums=['divergences'],
        constants=dict(WRITES=True, REPEAT=512 // lanes, LANES=lanes * 16),
        warps=16,
    )
    # 16 bytes at once, and threads that wait only for the last sums.
    assert 'ld.global.v4' in result.ptx
    assert result.shared <= 64


@each_capability
@each_dtype
def test_tiles(compiled, capability, dtype):
    from mmdistill_dense.kernels.divergence_parts import gradients, part_sums
    from mmdistill_dense.kernels.divergence_tiles import WARPS

    constants = dict(FLAT=True, CHANNELS=64, POSITIONS=16)
    sums = compiled(
        part_sums,
        capability,
        maps=dict.fromkeys(('student', 'teacher'), dtype),
        sums=['sums'],
        constants=dict(along('st', 'channel'), REPEAT=4, **constants),
        warps=WARPS,
    )
    ends = compiled(
        gradients,
        capability,
        maps=dict.fromkeys(('student', 'teacher', 'gradient'), dtype),
        sums=['softmax_params'],
        constants=along('stg', 'channel') | constants,
    )
    assert 'ld.global.v4' in sums.ptx
    assert 'st.global.v4' in ends.ptx


@pytest.mark.parametrize(
    ('channels', 'given'),
    [
        (1, dict(s_column=1, t_column=1, FLAT=True)),
        (32, dict(s_column=1, t_channel=1, FLAT=False)),
    ],
)
def test_sums_of_other_tiles(compiled, channels, given):
    from mmdistill_dense.kernels.divergence_parts import part_sums
    from mmdistill_dense.kernels.divergence_tiles import WARPS

    positions = 1024 // channels
    compiled(
        part_sums,
        80,
        maps=dict(student='float16', teacher='float32'),
        sums=['sums'],
        constants=dict(
            given, REPEAT=4, CHANNELS=channels, POSITIONS=positions
        ),
        warps=WARPS,
    )


@pytest.mark.parametrize(('rows', 'parts'), [(1, 1024), (128, 1)])
def test_merge_parts(compiled, rows, parts):
    from mmdistill_dense.kernels.divergence_parts import merge_parts

    compiled(
        merge_parts,
        80,
        maps={},
        sums=['sums', 'divergences', 'softmax_params'],
        constants=dict(ROWS=rows, PARTS=parts),
    )


@each_capability
@each_dtype
@pytest.mark.parametrize(
    ('side', 'channels'), [('column', 16), ('channel', 256)]
)
def test_squared_error(compiled, capability, dtype, side, channels):
    from mmdistill_dense.kernels.difference import error_map

    result = compiled(
        error_map,
        capability,
        maps=dict.fromkeys(('student', 'teacher', 'difference'), dtype),
        sums=['errors'],
        constants=dict(
            along('std', side),
            FLAT=True,
            WRITES=True,
            CHANNELS=channels,
            POSITIONS=2048 // channels,
        ),
    )
    assert 'ld.global.v4' in result.ptx
    assert 'st.global.v4' in result.ptx


@each_capability
@pytest.mark.parametrize(
    ('precision', 'lanes', 'dtype'),
    [
        ('ieee', 256, 'float32'),
        ('ieee', 512, 'float32'),
        ('tf32', 256, 'float32'),
        ('tf32', 256, 'bfloat16'),
    ],
)
def test_contrast(compiled, capability, precision, lanes, dtype):
    from mmdistill_dense.kernels.contrast import contrast

    result = compiled(
        contrast,
        capability,
        maps=dict(queue=dtype),
        sums=['unit', 'tops', 'sums', 'weighted_sums'],
        constants=dict(
            queue_stride_column=1,
            WITH_GRADIENT=True,
            PRECISION=precision,
            ROWS_PER_TILE=64 if lanes == 256 else 32,
            COLUMNS_PER_TILE=32,
            PADDED_CHANNELS=lanes,
            CHANNELS_PER_DOT=32,
        ),
        warps=8,
        stages=2,
    )
    # On tensor cores or not, as requested.
    assert ('mma' in result.ptx) == (precision == 'tf32')
    # Of a desktop's GPU, 99 KiB.
    assert result.shared <= 99 * 2**10
