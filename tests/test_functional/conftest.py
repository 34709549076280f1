"""The maps on which other toolboxes' values were worked out."""

import numpy as np
import pytest
import torch


@pytest.fixture
def maps():
    """Student with a gradient, and teacher: (2, 3, 4, 5), float64."""
    rs = np.random.RandomState(0)
    student, teacher = (
        torch.from_numpy(2 * rs.randn(2, 3, 4, 5)) for _ in range(2)
    )
    assert student[0, 0, 0, 0].item() == 3.528104691935328
    assert teacher.sum().item() == pytest.approx(-8.939999130150872, abs=1e-12)
    return student.requires_grad_(), teacher
