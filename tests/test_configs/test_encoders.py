"""Configs whose teacher is an encoder of another package.

``tests/test_models/test_real_encoders.py`` trains them, where it is there.
"""

import ast

from mmdistill_dense.models.encoders import EncoderTeacher
from tests.helpers.configs import CONFIGS, ENCODERS, read
from tests.helpers.rules import for_each

KIND = 'mmdistill_dense.EncoderTeacher'
TEACHERS = [
    path
    for path in sorted((CONFIGS / '_base_' / 'teachers').glob('*.py'))
    if KIND in path.read_text(encoding='utf-8')
]


@for_each(TEACHERS)
def test_a_teacher_takes_eight_lines(path):
    (node,) = ast.parse(path.read_text(encoding='utf-8')).body
    assert node.end_lineno - node.lineno + 1 <= 8
    settings = read(path).teacher.to_dict()
    assert settings.pop('type') == KIND
    assert settings.keys() <= EncoderTeacher.settings
    EncoderTeacher('teacher', **settings)


@for_each(ENCODERS)
def test_the_student_is_stock(path):
    cfg = read(path)
    assert cfg.model.type == 'mmdistill_dense.DenseDistiller'
    assert cfg.model.teacher.type == KIND
    assert cfg.model.student.type in ('EncoderDecoder', 'MaskRCNN')


def test_there_is_one_of_each_host():
    scopes = {read(path).default_scope for path in ENCODERS}
    assert scopes == {'mmdet', 'mmseg'}
