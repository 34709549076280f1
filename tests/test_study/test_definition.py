"""A study file says what it means, or is refused."""

import pytest

from mmdistill_tools.study import StudyError
from mmdistill_tools.study.definition import read_study


def test_a_row_has_what_the_study_has_and_its_own(read, content):
    content.update(length=0.5, options={'model.lr': 1, 'model.a': 2})
    content['rows']['student'].update(
        title='the student',
        seeds=[3, 4],
        length=2,
        options={'model.lr': 5},
        variants=dict(wide={'model.a': 7}, plain=None),
    )
    content['baseline'] = 'student/plain'
    study = read(content)
    assert list(study.rows) == [
        'distilled',
        'student/plain',
        'student/wide',
        'teacher',
    ]
    wide, teacher = study.rows['student/wide'], study.rows['teacher']
    assert (wide.title, wide.seeds, wide.length) == (
        'the student, wide',
        (3, 4),
        2.0,
    )
    assert wide.options == {'model.lr': 5, 'model.a': 7}
    assert study.rows['student/plain'].options['model.a'] == 2
    assert (teacher.title, teacher.seeds, teacher.length) == (
        'teacher',
        (0,),
        0.5,
    )
    assert teacher.options == {'model.lr': 1, 'model.a': 2}


def test_where_things_go_follows_from_the_files_name(read, content, tmp_path):
    del content['work_dir'], content['title']
    study = read(content)
    assert study.title == 'my_study'
    assert str(study.work_dir) == 'work_dirs/studies/my_study'
    assert study.results == tmp_path / 'my_study.json'
    content.update(work_dir='there', results='other.json', title='T')
    study = read(content)
    assert study.title == 'T'
    assert str(study.work_dir) == 'there'
    assert study.results == tmp_path / 'other.json'


def test_a_row_may_only_prepare_others(read, content):
    content['rows']['teacher'].update(scored=False, variants=dict(a={}, b={}))
    content['rows']['distilled']['options'] = {'model.a': '${teacher/b}'}
    rows = read(content).rows
    scored = {name: row.scored for name, row in rows.items()}
    assert scored == {
        'student': True,
        'distilled': True,
        'teacher/a': False,
        'teacher/b': False,
    }


def test_a_row_may_have_metrics_of_its_own(read, content):
    content['rows']['student']['metrics'] = {'coco/bbox_mAP': 'box AP'}
    rows = read(content).rows
    assert rows['student'].metrics == {'coco/bbox_mAP': 'box AP'}
    assert rows['teacher'].metrics == dict(mIoU='mean IoU')
    content['rows']['student']['metrics'] = ['mIoU']
    with pytest.raises(StudyError, match="'student': metrics must map keys"):
        read(content)


def test_a_row_may_be_a_finished_model(read, content, tmp_path):
    (tmp_path / 'weights').mkdir()
    weights = tmp_path / 'weights' / 'teacher.pth'
    content['rows']['teacher'].update(
        checkpoint='weights/teacher.pth', seeds=[3, 4]
    )
    expected = rf'the checkpoint {weights} is not there\. .* relative to'
    with pytest.raises(StudyError, match=expected):
        read(content)
    weights.touch()
    row = read(content).rows['teacher']
    assert (row.checkpoint, row.seeds) == (weights, (3,))
    assert read(content).rows['student'].checkpoint is None


def test_a_baseline_has_a_score(read, content):
    content['rows']['student']['scored'] = False
    for baseline in ('student', ['teacher', 'student']):
        with pytest.raises(
            StudyError,
            match=r"baseline 'student' is no row with a score\. Expected one "
            r'of distilled, teacher, or',
        ):
            read(dict(content, baseline=baseline))


def test_names_may_look_like_numbers(read, content):
    content['rows'] = {1: content['rows']['student']}
    assert list(read(dict(content, baseline=1)).rows) == ['1']


def test_anchors_and_merges_are_no_keys_that_come_twice(read):
    study = read(
        """
metrics: {mIoU: mIoU}
baseline: b
seeds: [0]
rows:
  a:
    config: a.py
    options: &some {model.x: 1, model.y: 1}
  b:
    config: a.py
    options: {<<: *some, model.y: 2}
"""
    )
    assert study.rows['b'].options == {'model.x': 1, 'model.y': 2}


@pytest.mark.parametrize(
    ('text', 'match'),
    [
        ('a: [', r'my_study\.yaml cannot be read as a study'),
        ('', 'must hold a mapping .* got NoneType'),
        ('[a]', 'must hold a mapping .* got list'),
        ('a: 1\nb:\n- c: 1\n  c: 2', "line 4: the key 'c' comes twice"),
    ],
)
def test_a_file_that_is_no_study_is_refused(read, text, match):
    with pytest.raises(StudyError, match=match):
        read(text)


def test_a_file_that_is_not_there_is_refused(read, tmp_path):
    with pytest.raises(StudyError, match=r'cannot be read as a study: .*No s'):
        read_study(tmp_path / 'none.yaml')


@pytest.mark.parametrize(
    ('changes', 'match'),
    [
        (dict(seed=[0]), 'has unknown keys: seed. Expected some of baseline'),
        (dict(path='x'), 'has unknown keys: path'),
        (dict(metrics={}), "lacks 'metrics'. Expected metrics, baseline"),
        (dict(metrics=['mIoU']), 'metrics must map keys of the log'),
        (dict(baseline=None), "lacks 'baseline'"),
        (dict(baseline='none'), "baseline 'none' is no row with a score"),
        (dict(rows=None), "lacks 'rows'"),
        (dict(rows=['a']), 'rows must be a mapping'),
        (dict(seeds=None), r"row 'distilled': seeds must be a list"),
        (dict(seeds=3), 'seeds must be a list of whole numbers'),
        (dict(seeds=['1e1']), 'seeds must be a list of whole numbers'),
        (dict(seeds=[0, 1, 0]), r'a seed comes twice in \[0, 1, 0\]'),
        (dict(length=0), 'length must be a number above 0'),
        (dict(length='2x'), 'length must be a number above 0'),
        (dict(length=True), 'length must be a number above 0'),
        (dict(options=['a']), 'options must map dotted keys to values'),
        (dict(options={'a': {'b': 1}}), 'options must map dotted keys'),
        (dict(work_dir=['a']), r"work_dir must be a text, got \['a'\]"),
        (dict(results={}), 'results must be a text'),
    ],
)
def test_a_wrong_study_is_refused(read, content, changes, match):
    with pytest.raises(StudyError, match=match):
        read({**content, **changes})


@pytest.mark.parametrize(
    ('changes', 'match'),
    [
        (dict(option={}), "row 'student' has unknown keys: option"),
        (dict(config=None), "row 'student' has no config"),
        (
            dict(scored='no'),
            "'student': scored must be true or false, got 'no",
        ),
        (dict(scored=0), 'scored must be true or false, got 0'),
        (dict(config=['a']), 'config must be a text'),
        (dict(title='teacher'), "have one title, 'teacher'. Give each its"),
        (dict(seeds=[]), "row 'student': seeds must be a list"),
        (dict(variants=['a']), 'variants must be a mapping, got list'),
        (dict(variants={'a': 3}), "row 'student/a': options must map"),
        (dict(variants={'a b': {}}), "'student/a b': a name is a folder too"),
        (dict(variants={'a/b': {}}), 'a name is a folder too'),
        (
            dict(options={'model.a': ['${teacher}']}),
            r'option model.a has \${...} inside a list',
        ),
        (
            dict(options={'model.a': '${nobody}'}),
            r"'student' names \${nobody}, which is no row. Expected one of",
        ),
        (
            dict(options={'model.a': '${distilled}'}, seeds=[0, 1]),
            r"row 'student' has the seeds \[1\], which \${dist.*} lacks",
        ),
    ],
)
def test_a_wrong_row_is_refused(read, content, changes, match):
    content['rows']['distilled']['seeds'] = [0, 2]
    content['rows']['student'].update(changes)
    with pytest.raises(StudyError, match=match):
        read(content)


def test_a_row_that_is_nothing_is_refused(read, content):
    content['rows']['student'] = None
    with pytest.raises(StudyError, match="'student' must be a mapping, got N"):
        read(content)


def test_rows_that_wait_for_each_other_are_refused(read, content):
    content['rows']['teacher']['options'] = {'model.a': 'x/${distilled}'}
    with pytest.raises(StudyError, match='distilled -> teacher -> distilled'):
        read(content)


def test_two_rows_of_one_name_are_refused(read, content):
    row = content['rows']['student']
    content['rows']['student/a'] = dict(row, title='another')
    content['rows']['student'] = dict(row, variants=dict(a=None))
    with pytest.raises(StudyError, match="two rows are named 'student/a'"):
        read(content)
