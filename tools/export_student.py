"""Write the plain student of a distillation run, for the stock host."""

import argparse
import os.path as osp

import torch
from mmengine.config import Config
from mmengine.utils import mkdir_or_exist

from mmdistill_dense.compat import config_path
from mmdistill_dense.engine import export


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
    return parser.parse_args()


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
    except (ValueError, FileNotFoundError) as error:
        raise SystemExit(f'export_student: {error}') from error
    mkdir_or_exist(osp.dirname(osp.abspath(args.out)))
    torch.save(student, args.out)
    cfg.dump(f'{base}.py')
    count = sum(p.numel() for p in model.parameters()) / 1e6
    print(
        f'{type(model).__name__} with {count:.2f} M parameters: {args.out}, '
        f'and its stock config: {base}.py'
    )


if __name__ == '__main__':
    main()
