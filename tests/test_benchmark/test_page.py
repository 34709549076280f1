"""Tables in documents, and figures."""

import re

import cv2
import pytest

from mmdistill_tools.benchmark import BenchmarkError
from mmdistill_tools.benchmark.measurements import read_report
from mmdistill_tools.benchmark.page import (
    BLOCKS,
    markdown_of,
    update_document,
)
from mmdistill_tools.benchmark.plots import draw_figures

from ..helpers.configs import ROOT
from ..helpers.rules import for_each
from . import samples


def test_one_section_or_all():
    other = samples.step_section()
    other.name = 'step/pspnet'
    report = samples.report(samples.step_section(), other)
    for name, count in {'step': 2, 'step/pspnet': 1}.items():
        assert markdown_of(report, name).count('| student |') == count


def test_a_table_that_is_not_there_is_named():
    report = samples.report(samples.step_section())
    message = "no table 'memory', only step, step/mask-rcnn, origin"
    for name in ('memory', 'ste', 'step/mask'):
        with pytest.raises(
            BenchmarkError, match=message.replace('memory', name)
        ):
            markdown_of(report, name)


def test_the_origin_has_all_to_do_it_again():
    text = markdown_of(samples.report(samples.step_section()), 'origin')
    for part in (
        '```shell\npython tools/benchmark.py step --seed 3\n```',
        '2 cores of a processor, threads 2',
        'commit abc',
        'torch 2.0',
        'mmrazor 1.0.0, imported without `a.b`',
        '- a note',
    ):
        assert part in text


def test_figures_are_drawn_beside_the_results(tmp_path):
    report = samples.report(
        samples.step_section(),
        samples.memory_section(),
        samples.loss_section(),
        samples.scaling_section(),
    )
    drawn = draw_figures(report, tmp_path / 'new' / 'cpu')
    assert [path.name for path in drawn] == ['cpu_step.png', 'cpu_scaling.png']
    for path in drawn:
        assert cv2.imread(str(path)).std() > 5


@pytest.fixture
def page(tmp_path):
    samples.report(samples.step_section()).write(tmp_path / 'x.json')
    path = tmp_path / 'page.md'

    def write(table, file='x.json'):
        path.write_text(
            f'# Page\n\n<!-- benchmark: {file} {table} -->\nold\n'
            '<!-- end of benchmark -->\n\nBelow.\n'
        )
        return path

    return write


@pytest.mark.parametrize('table', ['step', 'step/mask-rcnn', 'origin'])
def test_a_document_gets_its_tables(page, tmp_path, table):
    path = page(table)
    assert update_document(path, tmp_path)
    text = path.read_text()
    report = samples.report(samples.step_section())
    assert markdown_of(report, table) in text
    assert '\nold\n' not in text
    assert text.endswith('Below.\n')
    assert not update_document(path, tmp_path)


@pytest.mark.parametrize(
    ('table', 'file', 'message'),
    [
        ('steps', 'x.json', "page.md, 'steps' of x.json: the report"),
        ('step', 'y.json', 'y.json cannot be read as results'),
    ],
)
def test_a_wrong_block_is_named(page, tmp_path, table, file, message):
    path = page(table, file)
    before = path.read_text()
    with pytest.raises(BenchmarkError, match=re.escape(message)):
        update_document(path, tmp_path)
    assert path.read_text() == before


def test_a_document_without_a_block_is_named(tmp_path):
    path = tmp_path / 'page.md'
    path.write_text('<!-- benchmark: x.json step -->\nprecious\n')
    with pytest.raises(BenchmarkError, match=r'1 tables begin .* 0 end'):
        update_document(path, tmp_path)


PAGES = [
    path
    for path in (ROOT / 'README.md', *sorted(ROOT.glob('docs/*.md')))
    if BLOCKS.pattern.search(path.read_text(encoding='utf-8'))
]


@for_each(PAGES)
def test_shipped_tables_are_those_of_their_results(shipped, tmp_path):
    copy = tmp_path / shipped.name
    copy.write_text(shipped.read_text(encoding='utf-8'), encoding='utf-8')
    assert not update_document(copy, ROOT), (
        f'{shipped.name} differs from its results: run tools/benchmark.py '
        f'report FILE.json --docs docs/{shipped.name}'
    )


RESULTS = sorted(ROOT.glob('docs/benchmarks/*.json'))


@for_each(RESULTS)
def test_shipped_results_are_of_whole_runs(path):
    report = read_report(path)
    assert not report.settings['quick']
    assert report.commit
    assert str(ROOT) not in path.read_text(encoding='utf-8')
