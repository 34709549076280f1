"""The tests of the pages see what is wrong on a page."""

import pytest

from mmdistill_dense.compat import config_path

from .blocks import MESSAGES, Block, blocks_of, missing
from .sandbox import Sandbox

PRINTED = """one
11/21 14:57:51 - mmengine - INFO - two of 3
\x1b[1mthree\x1b[0m   4.5
"""


@pytest.mark.parametrize(
    ('expected', 'rough', 'line'),
    [
        ('one\ntwo of 3\n', False, None),
        ('one\n...\nthree   4.5\n', False, None),
        ('two ... 3\n', False, None),
        ('two of 9\nthree 77\n', True, None),
        ('one\nthree   4.5\n', False, 'three   4.5'),
        ('two of 9\n', False, 'two of 9'),
        ('tw\n', False, 'tw'),
        ('three   4.5\n...\none\n', False, 'one'),
        ('two of x\n', True, 'two of x'),
    ],
)
def test_output_is_compared(expected, rough, line):
    assert missing(expected, PRINTED, rough) == line


def block(language, text):
    return Block('docs/x.md', 1, language, text)


@pytest.fixture
def sandbox(tmp_path):
    return Sandbox(tmp_path, 'docs/x.md')


CONFIG = """# own/x.py
_base_ = ['mmdistill_dense::demo/pspnet_student_shapes.py']
model = dict(
    _delete_=True,
    type='mmdistill_dense.DenseDistiller',
    student=_base_.model,
    teacher=dict(cfg='mmdistill_dense::demo/pspnet_teacher_shapes.py'),
    terms=dict(cwd=dict(at={at!r}, loss=dict(
        type='mmdistill_dense.ChannelWiseLoss'))))
"""


@pytest.mark.parametrize(
    ('language', 'text'),
    [
        ('bash', 'false\n'),
        ('bash', 'false | true\n'),
        ('bash', 'echo $UNSET\n'),
        ('bash', 'make no-such-target\n'),
        ('python', 'raise SystemExit(3)\n'),
        ('text', 'printed by nobody\n'),
        ('output', 'printed by nobody\n'),
    ],
)
def test_a_block_that_fails_is_seen(sandbox, language, text):
    with pytest.raises(pytest.fail.Exception, match=r'docs/x.md:1 \['):
        sandbox.run(block(language, text))


def test_a_config_is_built(sandbox):
    sandbox.run(block('python', CONFIG.format(at='logits')))
    sandbox.run(block('text', 'Distillation:\n...\n'))
    with pytest.raises(ValueError, match="no module matches 'logit'"):
        sandbox.run(block('python', CONFIG.format(at='logit')))


def test_variables_and_folder_pass_on(sandbox):
    sandbox.run(block('bash', "export A='b  c'\nmkdir d\ncd d\n"))
    sandbox.run(block('bash', 'echo "$A" "${PWD##*/}"\n'))
    sandbox.run(block('text', 'b  c d\n'))


def test_no_page_writes_into_this_checkout(sandbox):
    shipped = config_path('mmdistill_dense::demo/pspnet_student_shapes.py')
    copy = sandbox.folder / 'configs' / 'demo' / 'pspnet_student_shapes.py'
    assert copy.is_file()
    assert not copy.samefile(shipped)


def test_kinds_of_blocks():
    kinds = {
        Block(page, 1, language, text).kind: (page, language, text)
        for page, language, text in [
            ('a.md', 'bash', ''),
            ('a.md', 'python', 'x = 1\n'),
            ('a.md', 'python', '# a/b.py\nx = 1\n'),
            ('a.md', 'text', ''),
            ('a.md', 'output', ''),
            ('a.md', '{toctree}', ''),
            ('a.md', 'yaml', ''),
            (MESSAGES, 'text', ''),
        ]
    }
    assert set(kinds) == {
        *('command', 'code', 'config', 'output', 'rough output'),
        *('directive', None, 'message'),
    }
    assert len(blocks_of('docs/own_model.md')) > 20
