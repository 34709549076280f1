"""The forms that are compared give one value."""

from functools import partial

import pytest
import torch

from mmdistill_tools.benchmark import BenchmarkError, loss_forms
from mmdistill_tools.benchmark.arguments import PACKAGE, parse
from mmdistill_tools.benchmark.loss_forms import check_equal

FORMS = dict(
    cwd=loss_forms.cwd,
    pixel_wise=loss_forms.pixel_wise,
    maskd=loss_forms.maskd,
    contrast=partial(loss_forms.contrast, queue_length=32),
)


def drawn(form, shapes=((2, 8, 5, 6), (2, 8, 3, 3)), precision='fp32'):
    settings = parse('', ['losses', '--precision', precision])
    maps = loss_forms.draw_maps(shapes, settings)
    return maps, loss_forms.values_of(form, maps, settings)


@pytest.mark.parametrize('name', FORMS)
def test_forms_agree_in_value_and_gradient(name):
    maps, values = drawn(FORMS[name])
    check_equal(name, values, 1e-5)
    found, expected = (
        maps.grad(values[form]) for form in (PACKAGE, 'plain form')
    )
    for grad, other in zip(found, expected, strict=True):
        torch.testing.assert_close(grad, other, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('name', FORMS)
def test_forms_agree_in_low_precision(name):
    maps, values = drawn(FORMS[name], precision='bf16')
    assert maps.student[0].dtype == torch.bfloat16
    check_equal(name, values, 5e-2)
    assert all(x.isfinite().all() for x in maps.grad(values[PACKAGE]))


def test_levels_are_summed():
    both, one, other = (
        drawn(loss_forms.cwd, shapes)[1]['plain form']().item()
        for shapes in (
            [(1, 4, 3, 3), (1, 4, 3, 3)],
            [(1, 4, 3, 3)],
            [(1, 4, 3, 3)],
        )
    )
    assert both > one == other


def test_other_values_are_refused():
    values = {
        PACKAGE: lambda: torch.tensor(1.0),
        'plain form': lambda: torch.tensor(1.1),
    }
    with pytest.raises(BenchmarkError, match=r'x: plain form is 1\.1 and mmd'):
        check_equal('x', values, 1e-2)
    check_equal('x', values, 0.2)
