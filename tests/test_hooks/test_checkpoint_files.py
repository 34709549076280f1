"""Files are written whole, and corrupt checkpoints are named."""

import errno
import os
import resource
import signal

import pytest
import torch

from mmdistill_dense.hooks.checkpoint_files import (
    AtomicLocalBackend,
    check_resumable,
    checkpoint_problem,
    newest_whole,
)


@pytest.fixture
def saved(tmp_path):
    """Checkpoints of iterations 5 and 10, and a pointer to the last."""
    for number in (5, 10):
        torch.save(dict(x=torch.rand(99)), tmp_path / f'iter_{number}.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'iter_10.pth'))
    return tmp_path


def cut(path, length=-40):
    path.write_bytes(path.read_bytes()[:length])


def flip(path):
    """Change a byte of a tensor, as a bad disk would."""
    data = bytearray(path.read_bytes())
    at = data.index(torch.load(path)['x'].numpy().tobytes())
    data[at] ^= 255
    path.write_bytes(data)


@pytest.mark.parametrize('harm', [cut, flip, lambda p: cut(p, 0)])
def test_a_corrupt_checkpoint_is_named_with_the_newest_whole_one(saved, harm):
    check_resumable(saved, None)
    harm(saved / 'iter_10.pth')
    before = {p: p.read_bytes() for p in saved.iterdir()}
    for given in (None, str(saved / 'iter_10.pth')):
        with pytest.raises(ValueError, match='cannot be resumed') as error:
            check_resumable(saved, given)
        text = str(error.value)
        assert text.startswith(f'{saved}/iter_10.pth cannot be resumed from')
        assert f'--resume {saved}/iter_5.pth' in text
        assert f"load_from='{saved}/iter_5.pth'" in text
        assert 'No file was changed.' in text
    assert {p: p.read_bytes() for p in saved.iterdir()} == before


def test_a_corrupt_pointer_is_named(saved):
    (saved / 'last_checkpoint').write_text('')
    with pytest.raises(ValueError, match=r'cannot be resumed.* is empty'):
        check_resumable(saved, None)
    (saved / 'last_checkpoint').write_text(f'{saved}/iter_11.pth')
    with pytest.raises(ValueError, match=r'_11.pth .* does not exist.*_10'):
        check_resumable(saved, None)


def test_without_a_whole_checkpoint_a_new_start_is_advised(tmp_path):
    check_resumable(tmp_path, None)  # a new training
    with pytest.raises(ValueError, match=r'No other .*without --resume'):
        check_resumable(tmp_path, str(tmp_path / 'iter_5.pth'))
    check_resumable(tmp_path, 'https://example.org/iter_5.pth')


def test_the_format_before_torch_1_6_is_read_too(tmp_path):
    path = tmp_path / 'iter_1.pth'
    torch.save(
        dict(x=torch.rand(9)), path, _use_new_zipfile_serialization=False
    )
    assert checkpoint_problem(path) is None
    cut(path)
    assert checkpoint_problem(path)
    assert newest_whole(tmp_path) is None


def test_a_file_is_replaced_whole(tmp_path):
    backend, path = AtomicLocalBackend(), tmp_path / 'new' / 'file'
    backend.put(b'one', path)
    backend.put_text('two', path)
    assert path.read_text() == 'two'
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_what_was_there(tmp_path):
    backend, path = AtomicLocalBackend(), tmp_path / 'iter_5.pth'
    backend.put(b'old', path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match=r'iter_5.pth could not be') as error:
            backend.put(b'x' * 8192, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert error.value.errno == errno.EFBIG
    assert 'resume from the last one' in str(error.value)
    assert path.read_bytes() == b'old'
    assert os.listdir(tmp_path) == ['iter_5.pth']
