"""The ONNX form of an exported student."""

import numpy as np
import onnxruntime
import pytest
import torch
from mmengine.config import Config

from mmdistill_dense.export import onnx as onnx_export
from mmdistill_dense.export.onnx import export_onnx
from mmdistill_dense.export.student import build_student, student_config

from ..helpers.models import cwd, distiller, mask_rcnn, pspnet
from ..helpers.runs import distilled


def write_run(folder, student, teacher, at, scope):
    """Config and checkpoint of a distilled model, as training leaves them."""
    terms = dict(kd=cwd(at))
    cfg = Config(
        dict(default_scope=scope, model=distilled(student, teacher, terms))
    )
    cfg.dump(folder / 'run.py')
    model = distiller(student, teacher, terms)
    torch.save(dict(state_dict=model.state_dict()), folder / 'run.pth')
    return folder / 'run.py', folder / 'run.pth'


@pytest.fixture
def run(seg_teacher, tmp_path):
    return write_run(tmp_path, pspnet(), seg_teacher, 'backbone', 'mmseg')


def test_a_segmentor_computes_the_same_in_onnx_runtime(
    run, tmp_path, export, capsys
):
    # Not a multiple of the pyramid's bins, which the older exporter needs.
    export(*run, tmp_path / 'student.pth', '--onnx', '--shape', 80, 104)
    assert 'ONNX for preprocessed images of 80x104' in capsys.readouterr().out
    images = torch.randn(1, 3, 80, 104)
    session = onnxruntime.InferenceSession(
        str(tmp_path / 'student.onnx'), providers=['CPUExecutionProvider']
    )
    (found,) = session.run(None, dict(images=images.numpy()))
    weights = torch.load(tmp_path / 'student.pth', weights_only=True)
    cfg = student_config(Config.fromfile(run[0]))
    model = build_student(cfg, weights['state_dict']).eval()
    with torch.no_grad():
        logits = model.decode_head(model.extract_feat(images))
        expected = torch.nn.functional.interpolate(
            logits, (80, 104), mode='bilinear'
        )
    assert found.shape == (1, 4, 80, 104)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_size_is_that_of_the_data_preprocessor(run, tmp_path, export):
    export(*run, tmp_path / 'student.pth', '--onnx')
    session = onnxruntime.InferenceSession(str(tmp_path / 'student.onnx'))
    assert session.get_inputs()[0].shape == [1, 3, 64, 64]


def test_a_detector_is_left_to_mmdeploy(det_teacher, tmp_path, export):
    run = write_run(tmp_path, mask_rcnn(), det_teacher, 'neck', 'mmdet')
    with pytest.raises(SystemExit, match=r'MaskRCNN is none.*MMDeploy'):
        export(*run, tmp_path / 's.pth', '--onnx')
    assert not (tmp_path / 's.pth').exists()


def test_sizes_that_are_none_and_older_files(run, tmp_path, export):
    with pytest.raises(SystemExit, match='--onnx needs --shape H W'):
        export(*run, tmp_path / 's.pth', '--onnx', '--shape', 64, 0)
    assert not (tmp_path / 's.pth').exists()
    (tmp_path / 's.onnx').touch()  # another student's
    export(*run, tmp_path / 's.pth')
    assert not (tmp_path / 's.onnx').exists()


@pytest.fixture
def model(seg_teacher):
    return distiller(pspnet(), seg_teacher, {})


def test_a_file_that_computes_something_else_is_refused(
    model, tmp_path, monkeypatch
):
    monkeypatch.setattr(onnx_export, 'TOLERANCE', 0.0)
    with pytest.raises(ValueError, match='ONNX Runtime differs from torch by'):
        export_onnx(model, str(tmp_path / 'x.onnx'), (64, 64))


def test_a_missing_package_is_named(model, tmp_path, monkeypatch):
    monkeypatch.setattr(
        onnx_export, 'REQUIRED_PACKAGES', ('onnx', 'no_such_package')
    )
    with pytest.raises(ValueError, match='pip install no_such_package'):
        export_onnx(model, str(tmp_path / 'x.onnx'), (64, 64))
