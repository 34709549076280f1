"""Write a distillation config for a student and a teacher of your own.

With --encoder the teacher is a network of another package, such as DINOv2.
Hosts, modules, channels and strides are found by a dry run of both; nothing
is trained or loaded. The file is then read again, built and inspected.
"""

import argparse
import logging
import os.path as osp
import warnings

from mmengine.logging import MMLogger

from mmdistill_dense import drafting, inspection


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    name = "config file, or 'package::path' of an installed one"
    parser.add_argument('student', help=f"the student's {name}")
    parser.add_argument('teacher', nargs='?', help=f"the teacher's {name}")
    parser.add_argument(
        '--encoder',
        metavar='NAME',
        help='an encoder of another package in place of a teacher: '
        f'{", ".join(drafting.encoder_names())}, or a .py file with teacher='
        "dict(type='mmdistill_dense.EncoderTeacher', ...)",
    )
    parser.add_argument(
        '--checkpoint', help="file or address of the teacher's weights"
    )
    parser.add_argument(
        '--method', choices=list(drafting.METHODS), default='cwd'
    )
    parser.add_argument(
        '--out', help='config to write; default: METHOD_TEACHER_STUDENT.py'
    )
    parser.add_argument(
        '--force', action='store_true', help='overwrite an existing file'
    )
    parser.add_argument(
        '--input-size',
        type=inspection.whole_number,
        nargs=2,
        metavar=('H', 'W'),
        help='size of the dry run, in pixels, for models that need their own',
    )
    return parser.parse_args()


def main():
    args = parse_args()
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    warnings.simplefilter('ignore')  # the hosts' own, while they build
    try:
        out, reasons, tables = drafting.write_config(
            args.student,
            args.teacher,
            args.out,
            encoder=args.encoder,
            method=args.method,
            checkpoint=args.checkpoint or None,
            size=args.input_size and tuple(args.input_size),
            force=args.force,
        )
    except Exception as error:
        raise SystemExit(f'new_distillation: {error}') from error
    with open(out, encoding='utf-8') as file:
        text = file.read()
    has_checkpoint = args.checkpoint or 'checkpoint=None' not in text
    inspection.show(
        [f'{out}:\n', text, 'Why:', *(f'  {r}' for r in reasons), '']
        + tables
        + ['', *next_steps(out, args.checkpoint, has_checkpoint)]
    )


def next_steps(out, checkpoint, has_checkpoint):
    """Next steps for the user."""
    if not has_checkpoint:
        yield (
            'The teacher has no checkpoint yet, and training will refuse to '
            'start: set teacher.checkpoint in the file, or give it here with '
            '--checkpoint.'
        )
    elif (
        checkpoint
        and ':' not in checkpoint
        and not osp.isfile(osp.expanduser(checkpoint))
    ):
        yield f'{checkpoint} is not there yet; training needs it.'
    yield (
        'Files in it are named from its own folder: move it together with '
        'them. To start:\n'
        f'  python tools/train.py {out}\n'
        f'  mim train mmdistill_dense {out}'
    )


if __name__ == '__main__':
    main()
