"""Exports a segmentor as ONNX and compares it with torch."""

from importlib.util import find_spec

import numpy as np
import torch
from mmengine.utils import digit_version
from torch import Tensor, nn

from mmdistill_dense.models.hosts import input_channels

#: Largest difference between ONNX Runtime and torch, relative to the logits.
TOLERANCE = 1e-3
REQUIRED_PACKAGES = ('onnx', 'onnxscript', 'onnxruntime')


class _Logits(nn.Module):
    """A segmentor as a function of tensors only."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, classes, H, W)."""
        size = tuple(images.shape[2:])
        meta = dict(img_shape=size, ori_shape=size, pad_shape=size)
        return self.model.encode_decode(images, [meta] * len(images))


def export_onnx(model: nn.Module, path: str, size: tuple[int, int]) -> float:
    """Write a segmentor as ONNX and run it with ONNX Runtime.

    Input ``images``: (1, C, H, W), as the data preprocessor gives them.
    Output ``logits``: (1, classes, H, W), before softmax and argmax.

    Args:
        model: A stock segmentor.
        path: File to write.
        size: H and W, in pixels; the graph is for this size.

    Returns:
        The largest difference between both, relative to the largest logit.

    Raises:
        ValueError: If the model is no segmentor, a package is missing, or
            the results of ONNX Runtime differ.
    """
    check_exportable(model)
    wrapped = _Logits(model).eval()
    shape = 1, input_channels(model, size), *size
    images = torch.randn(shape, generator=torch.manual_seed(0))
    with torch.no_grad():
        expected = wrapped(images).numpy()
        try:
            torch.onnx.export(
                wrapped,
                (images,),
                path,
                input_names=['images'],
                output_names=['logits'],
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ValueError(
                f'torch cannot write {type(model).__name__} as ONNX: {error}'
            ) from error
    difference = _difference(path, images.numpy(), expected)
    if not difference <= TOLERANCE:
        raise ValueError(
            f'{path}: ONNX Runtime differs from torch by {difference:.2g} of '
            f'the largest logit, expected at most {TOLERANCE:g}. The file is '
            'kept for inspection; do not deploy it.'
        )
    return difference


def check_exportable(model: nn.Module) -> None:
    """Check the model and the environment.

    Raises:
        ValueError: If the model is no segmentor, or a package is missing.
    """
    if not hasattr(model, 'encode_decode'):
        raise ValueError(
            f'--onnx writes segmentors, and {type(model).__name__} is none: '
            "a detector's boxes and masks need MMDeploy, which takes the "
            'exported config and checkpoint.'
        )
    if digit_version(torch.__version__) < digit_version('2.6'):
        raise ValueError(
            f'--onnx needs torch >= 2.6, got {torch.__version__}.'
        )
    missing = [name for name in REQUIRED_PACKAGES if find_spec(name) is None]
    if missing:
        raise ValueError(
            f'--onnx needs {", ".join(missing)}: pip install '
            f'{" ".join(missing)}'
        )


def _difference(path: str, images: np.ndarray, expected: np.ndarray) -> float:
    from onnxruntime import InferenceSession  # optional

    session = InferenceSession(path, providers=['CPUExecutionProvider'])
    (logits,) = session.run(None, {'images': images})
    return float(np.abs(logits - expected).max() / np.abs(expected).max())
