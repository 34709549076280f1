"""What the demo concludes from its scores."""

import numpy as np
import pytest

from mmdistill_tools.demo import conclusions
from mmdistill_tools.demo.pictures import nearest_to_median
from tests.helpers.demo import planned

SEG, DET = planned().values()
(PCD,) = planned(method='pcd').values()


def scores(teacher, student, distilled):
    return dict(teacher=teacher, student=student, distilled=distilled)


def test_a_teacher_with_something_to_teach_passes():
    assert conclusions.teacher_problem(SEG, scores(45, 40, 30)) is None


@pytest.mark.parametrize('teacher', [39.9, 40])
def test_a_teacher_that_is_not_above_its_student_is_named(teacher):
    text = conclusions.teacher_problem(SEG, scores(teacher, 40, 42))
    assert text.startswith('the PSPNet teacher is not above its student:')
    assert f'expected mIoU above 40.0, got {teacher:.1f}' in text
    assert '--length 2' in text


def test_a_loss_is_reported_like_a_gain():
    gain = conclusions.gain(SEG, scores(50, 40, 43))
    expected = 'CWD: 3.0 points mIoU above the student, 30 % of the way'
    assert expected in gain
    loss = conclusions.gain(DET, scores(50, 40, 38.5))
    assert loss.endswith('CWD: 1.5 points mask AP BELOW the student.')


def test_pre_training_is_not_called_distillation():
    gain = conclusions.gain(PCD, scores(50, 40, 43))
    assert gain.startswith('PSPNet, PCD: 3.0 points')


def test_examples_are_those_nearest_to_the_median_gain():
    gains = np.array([30.0, 5.0, np.nan, 4.0, -20.0, 6.0, 3.0, 80.0])
    assert nearest_to_median(gains, 3) == [1, 3, 5]
    # Images without a score come last.
    assert nearest_to_median(gains, 8)[2] == 2
    assert 2 not in nearest_to_median(gains, 7)
