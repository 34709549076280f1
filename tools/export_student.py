"""Write the plain student of a distillation run, for the stock host."""

import argparse
import os.path as osp
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.utils import mkdir_or_exist

from mmdistill_dense.compat import config_path
from mmdistill_dense.engine import export
from mmdistill_dense.engine.onnx_export import check_exportable, export_onnx


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the distillation run')
    parser.add_argument(
        'checkpoint', help='any checkpoint of it: last, best, with EMA'
    )
    parser.add_argument(
        'out', help='checkpoint to write, x.pth; the config goes to x.py'
    )
    parser.add_argument(
        '--raw',
        action='store_true',
        help='of a run with EMAHook, the trained weights, not their average',
    )
    parser.add_argument(
        '--onnx',
        action='store_true',
        help='write a segmentor as ONNX too, x.onnx, and compare it',
    )
    parser.add_argument(
        '--shape',
        nargs=2,
        type=int,
        metavar=('H', 'W'),
        help='image size of the ONNX graph; default: data_preprocessor.size',
    )
    return parser.parse_args()


def onnx_size(model, shape):
    """Height and width of the ONNX graph; checked before all is written."""
    check_exportable(model)
    size = shape or getattr(model.data_preprocessor, 'size', None)
    if size is None or min(size) < 1:
        raise ValueError(
            f'--onnx needs --shape H W, two numbers above 0, got {size}.'
        )
    return tuple(size)


def write_onnx(model, path, size):
    """Write the ONNX file and say how far it is from the model."""
    difference = export_onnx(model, path, size)
    height, width = size
    print(
        f'ONNX for preprocessed images of {height}x{width}: {path}; ONNX '
        f'Runtime differs by {difference:.1g} of the largest logit'
    )


def main():
    args = parse_args()
    base, suffix = osp.splitext(args.out)
    if suffix != '.pth':
        raise SystemExit(f'out must end in .pth, got {args.out!r}.')
    written = {osp.abspath(args.out), osp.abspath(f'{base}.py')}
    if written & {osp.abspath(args.checkpoint), osp.abspath(args.config)}:
        raise SystemExit(
            f'out={args.out!r} would overwrite what it is made from: choose '
            'another name.'
        )
    try:
        cfg = export.student_config(Config.fromfile(config_path(args.config)))
        student = export.student_checkpoint(args.checkpoint, args.raw)
        model = export.build_student(cfg, student['state_dict'])
        size = onnx_size(model, args.shape) if args.onnx else None
        mkdir_or_exist(osp.dirname(osp.abspath(args.out)))
        # An older one would be another student's.
        Path(f'{base}.onnx').unlink(missing_ok=True)
        torch.save(student, args.out)
        cfg.dump(f'{base}.py')
        count = sum(p.numel() for p in model.parameters()) / 1e6
        print(
            f'{type(model).__name__} with {count:.2f} M parameters: '
            f'{args.out}, and its stock config: {base}.py'
        )
        if args.onnx:
            write_onnx(model, f'{base}.onnx', size)
    except (ValueError, OSError) as error:
        raise SystemExit(f'export_student: {error}') from error


if __name__ == '__main__':
    main()
