"""What happens to images that cannot be read."""

import pytest
from mmcv.transforms import BaseTransform

from mmdistill_dense.datasets.views.unreadable import UnreadableImages
from tests.helpers.views import PIPELINE, dataset, read_all, write

BROKEN = (3, 4, 19)


@pytest.fixture
def partly_broken(tmp_path):
    """20 images, of which one is cut, one is none and one is empty."""
    write(tmp_path, *[f'{i:02d}.jpg' for i in range(20)])
    cut, other, empty = (tmp_path / f'{i:02d}.jpg' for i in BROKEN)
    cut.write_bytes(cut.read_bytes()[:400])
    other.write_text('this is no image')
    empty.write_bytes(b'')
    return tmp_path


LOADERS = [
    dict(num_workers=0),
    dict(num_workers=2, multiprocessing_context='fork'),
    # Each worker imports everything anew.
    pytest.param(
        dict(num_workers=2, multiprocessing_context='spawn'),
        marks=pytest.mark.slow,
    ),
]
every_loader = pytest.mark.parametrize(
    'loader', LOADERS, ids=['here', 'fork', 'spawn']
)


@every_loader
def test_the_next_image_takes_the_place_of_an_unreadable_one(
    partly_broken, loader
):
    data = dataset(partly_broken, max_unreadable=0.15)
    expected = [*range(3), 5, 5, *range(5, 19), 0]
    assert read_all(data, **loader) == expected
    assert data.unreadable.indices == list(BROKEN)
    assert read_all(data, **loader) == expected  # a second epoch


@every_loader
def test_too_many_unreadable_images_stop_the_run(partly_broken, loader):
    data = dataset(partly_broken, max_unreadable=0.1)
    message = (
        r'3 of 20 images \(15.0%\) cannot be read, and max_unreadable=0.1 '
        r'allows 2: .*/03.jpg, .*/04.jpg, .*/19.jpg\. The first of them: '
        r'.*Error: .* Usual cause: .* raise max_unreadable'
    )
    with pytest.raises(RuntimeError, match=message):
        read_all(data, **loader)


def test_each_is_logged_once(partly_broken, log_lines):
    data = dataset(partly_broken, max_unreadable=0.5)
    read_all(data)
    read_all(data)
    lines = [line for line in log_lines if 'Unreadable' in line]
    assert len(lines) == 3
    for number, (line, index) in enumerate(zip(lines, BROKEN, strict=True), 1):
        assert f'{index:02d}.jpg is skipped (' in line
        assert line.endswith(f'{number} of 20 so far.')
        assert '\n' not in line
    assert 'failed to load image' in lines[1]


def test_a_file_that_went_away_is_unreadable(tmp_path):
    write(tmp_path, 'a.png', 'b.png', 'c.png')
    data = dataset(tmp_path)
    (tmp_path / 'a.png').unlink()
    assert read_all(data) == [1, 1, 2]


@pytest.mark.parametrize(
    ('share', 'count', 'allowed'),
    [(0, 100, 0), (0.01, 18, 1), (0.01, 1000, 10), (1.0, 5, 5)],
)
def test_how_many_are_allowed(share, count, allowed):
    assert UnreadableImages(count, share).allowed == allowed


def test_none_is_allowed_with_a_share_of_0(partly_broken):
    data = dataset(partly_broken, max_unreadable=0)
    with pytest.raises(RuntimeError, match=r'1 of 20 .* allows 0: .*03.jpg\.'):
        read_all(data)


def test_no_readable_image_at_all_ends(tmp_path):
    for name in ('a.jpg', 'b.jpg'):
        (tmp_path / name).write_bytes(b'')
    data = dataset(tmp_path, max_unreadable=1.0)
    message = r'2 of 2 images \(100.0%\) cannot be read'
    for _ in range(2):
        with pytest.raises(RuntimeError, match=message):
            data[0]


def test_a_copy_counts_for_itself(partly_broken):
    data = dataset(partly_broken, max_unreadable=0.5)
    part = data.get_subset(10)
    read_all(part, num_workers=2)
    assert part.unreadable.indices == [3, 4]
    assert part.unreadable.allowed == 5
    assert data.unreadable.indices == []


def test_a_mistake_in_a_later_transform_is_raised_as_it_is(tmp_path):
    write(tmp_path, 'a.png')

    def fail(results):
        raise KeyError('mine')

    data = dataset(tmp_path, pipeline=[PIPELINE[0], fail])
    with pytest.raises(KeyError, match='mine'):
        data[0]
    assert len(data.unreadable) == 0


class Broken(BaseTransform):
    """A reader that raises one error, whatever it is to read."""

    def __init__(self, error):
        self.error = error

    def transform(self, results):
        raise self.error


MISTAKES = [
    TypeError('transform() takes 1 argument'),
    KeyError('img'),
    ModuleNotFoundError('No module named tifffile'),
    AttributeError('no attribute decode'),
    NameError('np is not defined'),
]


@pytest.mark.parametrize('error', MISTAKES, ids=lambda e: type(e).__name__)
def test_a_mistake_in_the_reader_is_no_unreadable_image(error, tmp_path):
    write(tmp_path, 'a.png', 'b.png')
    data = dataset(tmp_path, pipeline=[Broken(error)], max_unreadable=1.0)
    message = (
        f'Broken, the first .*a.png with {type(error).__name__}: .*not in'
    )
    with pytest.raises(RuntimeError, match=message) as raised:
        data[0]
    assert raised.value.__cause__ is error
    assert len(data.unreadable) == 0


def test_a_pipeline_without_a_reader_is_named(tmp_path):
    write(tmp_path, 'a.png')
    data = dataset(tmp_path, pipeline=PIPELINE[1:])
    message = "MultiView, the first .* KeyError: 'img'.* as LoadImageFromFile"
    with pytest.raises(RuntimeError, match=message):
        data[0]


def without_decoder(results):
    return None.shape  # as older versions of mmcv do


def test_what_decodes_to_nothing_is_unreadable(tmp_path):
    write(tmp_path, 'a.png')
    data = dataset(tmp_path, pipeline=[without_decoder])
    with pytest.raises(RuntimeError, match=r'1 of 1 .* AttributeError: .None'):
        data[0]


def test_a_process_that_reads_nothing_stops_soon(tmp_path):
    write(tmp_path, *[f'{i:02d}.png' for i in range(40)])
    error = ValueError('no such backend')
    data = dataset(tmp_path, pipeline=[Broken(error)], max_unreadable=1.0)
    message = (
        'the first 20 images that were tried cannot be read: .*00.png, .* '
        'The first of them: ValueError: no such backend. Usual cause: .* disk'
    )
    with pytest.raises(RuntimeError, match=message):
        data[0]
    assert len(data.unreadable) == 20


def test_a_process_that_read_one_image_goes_on(tmp_path):
    write(tmp_path, *[f'{i:02d}.png' for i in range(40)])
    for i in range(1, 30):
        (tmp_path / f'{i:02d}.png').write_bytes(b'')
    data = dataset(tmp_path, max_unreadable=1.0)
    data[0]
    assert data[1]['data_samples'].sample_idx == 30


def test_the_reason_is_read_again_by_who_did_not_see_it(partly_broken):
    data = dataset(partly_broken, max_unreadable=0)
    data.unreadable.add(3, '03.jpg', 'seen by another worker')
    with pytest.raises(RuntimeError, match=r'The first of them: \w+Error: '):
        data[3]
    write(partly_broken, '03.jpg')
    with pytest.raises(RuntimeError, match='them: it can be read by now'):
        data[3]
