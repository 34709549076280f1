"""Write the plain student of a run, or a pre-trained backbone."""

import argparse
import os.path as osp
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.utils import mkdir_or_exist

from mmdistill_dense.compat import config_path
from mmdistill_dense.export import backbone as backbones
from mmdistill_dense.export import student as export
from mmdistill_dense.export.onnx import check_exportable, export_onnx


def parse_args():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='config of the run')
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
    """Height and width of the ONNX graph, checked before writing."""
    check_exportable(model)
    size = shape or getattr(model.data_preprocessor, 'size', None)
    if size is None or min(size) < 1:
        raise ValueError(
            f'--onnx needs --shape H W, two numbers above 0, got {size}.'
        )
    return tuple(size)


def write_onnx(model, path, size):
    """Write the ONNX file and print its difference to the model."""
    difference = export_onnx(model, path, size)
    height, width = size
    print(
        f'ONNX for preprocessed images of {height}x{width}: {path}; ONNX '
        f'Runtime differs by {difference:.1g} of the largest logit'
    )


def write_student(cfg, args, base):
    """Write the student of a distillation run and its stock config."""
    stock = export.student_config(cfg)
    student = export.student_checkpoint(args.checkpoint, args.raw)
    model = export.build_student(stock, student['state_dict'])
    size = onnx_size(model, args.shape) if args.onnx else None
    save(student, args.out, stock, base)
    print(
        f'{describe_size(model)}: {args.out}, and its stock config: {base}.py'
    )
    if args.onnx:
        write_onnx(model, f'{base}.onnx', size)


def write_backbone(cfg, args, base):
    """Write the backbone of a pre-training run; print how to use it."""
    if args.onnx:
        raise ValueError(
            '--onnx is for segmentors; this config pre-trains a backbone, '
            'which has no head yet. Export what is trained from it.'
        )
    trained = backbones.backbone_checkpoint(args.checkpoint, args.raw)
    backbone = backbones.build_backbone(cfg, trained['state_dict'])
    small = backbones.backbone_config(cfg, args.out)
    save(trained, args.out, small, base)
    print(
        f'{describe_size(backbone)}: {args.out}, and its config: {base}.py. '
        'Start from it with model.backbone.init_cfg='
        f"dict(type='Pretrained', checkpoint='{args.out}', "
        f"prefix='{backbones.PREFIX}')."
    )


def save(content, out, cfg, base):
    """Write weights and config, and remove an outdated ONNX file."""
    mkdir_or_exist(osp.dirname(osp.abspath(out)))
    # An existing ONNX file belongs to another student.
    Path(f'{base}.onnx').unlink(missing_ok=True)
    torch.save(content, out)
    cfg.dump(f'{base}.py')


def describe_size(model):
    count = sum(p.numel() for p in model.parameters()) / 1e6
    return f'{type(model).__name__} with {count:.2f} M parameters'


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
        cfg = Config.fromfile(config_path(args.config))
        pretrained = backbones.is_pretraining(cfg)
        (write_backbone if pretrained else write_student)(cfg, args, base)
    except (ValueError, OSError) as error:
        raise SystemExit(f'export_student: {error}') from error


if __name__ == '__main__':
    main()
