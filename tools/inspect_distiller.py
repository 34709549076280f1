"""Show what a distillation config distils, what it skips and what it costs.

Nothing is trained or loaded: neither data nor a teacher's checkpoint are
needed. --list shows which modules of a model can be recorded.
"""

import argparse
import logging
import warnings

from mmengine.config import DictAction
from mmengine.logging import MMLogger

from mmdistill_dense import inspection


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'config', help="config file, or 'package::path' of an installed one"
    )
    parser.add_argument(
        '--list',
        action='store_true',
        help='list the modules that can be recorded, of a stock model or of '
        'the student of a distilled one',
    )
    parser.add_argument(
        '--match',
        metavar='PATTERN',
        help="with --list: only these names, as in 'neck.*'; * matches dots",
    )
    parser.add_argument(
        '--depth',
        type=inspection.whole_number,
        help='with --list: longest name, in dotted parts; 3 without --match',
    )
    parser.add_argument(
        '--input-size',
        type=inspection.whole_number,
        nargs=2,
        metavar=('H', 'W'),
        help='size of the image, in pixels; default: what the config crops '
        'or resizes to, and its input_size for shapes',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        metavar='KEY=VALUE',
        help='override settings of the config',
    )
    args = parser.parse_args()
    if not args.list and (args.match or args.depth):
        parser.error('--match and --depth filter what --list shows: add it.')
    return args


def main():
    args = parse_args()
    MMLogger.get_current_instance().setLevel(logging.ERROR)
    warnings.simplefilter('ignore')  # the hosts' own, while they build
    size = tuple(args.input_size) if args.input_size else None
    try:
        cfg = inspection.read_config(args.config, args.cfg_options)
        if args.list:
            depth = args.depth or (None if args.match else 3)
            parts = inspection.describe_modules(cfg, size, args.match, depth)
        else:
            parts = inspection.describe(cfg, size)
        inspection.show(parts)
    except Exception as error:
        raise SystemExit(f'inspect_distiller: {error}') from error


if __name__ == '__main__':
    main()
