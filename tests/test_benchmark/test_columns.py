"""Columns of tables, each by hand."""

import pytest

from mmdistill_tools.benchmark.columns import quartiles, table_of

from . import samples


def cells(section):
    """Cells by title of the column, of each row by name."""
    lines = [
        [cell.strip() for cell in line.split('|')[1:-1]]
        for line in table_of(section).splitlines()
        if line.startswith('|')
    ]
    header, rule, *rows = lines
    assert rule == ['---', *['--:'] * (len(header) - 1)]
    return {
        row[0]: dict(zip(header[1:], row[1:], strict=True)) for row in rows
    }


def test_steps_beside_the_floor_and_each_peer():
    found = cells(samples.step_section())
    assert found['student']['ms'] == '1,100.0'
    assert found['mmdistill_dense'] == {
        'ms': '2,100.0',
        'quartiles': '2,050.0-2,150.0',
        'above the student': '+1,000.0',
        # Quartiles of 1, 1.05 and 1.1: taken round by round.
        '/ floor': '1.050 (1.025-1.075)',
        f'/ {samples.SINGLE}': '0.700 (0.661-0.726)',
        f'/ {samples.FPN}': '0.955 (0.917-0.977)',
    }
    assert found['floor']['/ floor'] == '1'


def test_without_a_peer_steps_are_beside_the_floor():
    section = samples.step_section()
    section.rows = section.rows[:3]
    (last,) = {list(row)[-1] for row in cells(section).values()}
    assert last == '/ floor'


def test_synchronizations_have_a_column():
    section = samples.step_section()
    section.row('mmdistill_dense').about['synchronizations'] = 7
    found = cells(section)
    assert found['mmdistill_dense']['waits for the GPU'] == '7'
    assert found['student']['waits for the GPU'] == ''


def test_memory_is_above_the_weights_and_the_student():
    found = cells(samples.memory_section())
    assert found['mmdistill_dense'] == {
        'weights': '30.0',
        'peak above them': '120.0',
        'above the student': '20.0',
        f'/ {samples.SINGLE}': '0.250',
        'peak and weights above the student': '40.0',
    }


def test_a_peer_that_needs_nothing_more_gives_no_ratio():
    section = samples.memory_section()
    section.row(samples.SINGLE).bytes['peak'] = 0
    assert cells(section)['mmdistill_dense'][f'/ {samples.SINGLE}'] == 'none'


def test_losses_have_rates_and_bytes():
    found = cells(samples.loss_section())
    assert found['mmdistill_dense'] == {
        'ms': '100',
        'quartiles': '100-100',
        '/ plain form': '0.222 (0.213-0.237)',
        'GB/s': '3.1',
        # 3 maps in 0.1 s over 2 in 0.05 s.
        '/ copy': '0.750',
        'extra MiB': '4.0',
        'extra / map': '0.040',
        'saved MiB': '105.0',
        'saved / map': '1.050',
    }
    assert found['copy']['/ plain form'] == found['copy']['extra MiB'] == ''


def test_scaling_has_time_per_element_and_the_plain_form():
    section = samples.scaling_section()
    section.row('size 8x8').seconds = [1e-3]
    found = cells(section)
    assert found['size 9x9'] == {
        'ms': '6',
        'ns per element': '1.2e+03',
        '/ plain form': '1.000 (1.000-1.000)',
        'extra MiB': '0.0',
    }
    assert found['size 8x8']['/ plain form'].startswith('0.250')


def test_quartiles_of_one_value_are_it():
    assert quartiles([3.0]) == (3.0, 3.0)
    assert quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 4.0)


@pytest.mark.parametrize(
    ('section', 'title'),
    [
        (samples.step_section, 'mask-rcnn: batch 2 of 320x480 pixels'),
        (samples.loss_section, 'CWD: maps from 1x2x3x4 on'),
        (samples.scaling_section, 'CWD, scaling'),
    ],
)
def test_a_title_has_the_size(section, title):
    assert table_of(section()).startswith(f'**{title}**\n\n| ')
