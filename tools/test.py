"""Test (and evaluate) a model, distilled or stock, with MMEngine's Runner."""

from mmdistill_tools import evaluation, launch


def parse_args():
    parser = launch.base_parser('Test a distilled (or stock) model')
    parser.add_argument('checkpoint', help='checkpoint file or address')
    parser.add_argument(
        '--out',
        help='dump predictions: a .pkl file for a detector, a folder for a '
        'segmentor',
    )
    parser.add_argument(
        '--show', action='store_true', help='show predictions in a window'
    )
    parser.add_argument(
        '--show-dir',
        help='save painted images there; a relative path of a detector is '
        'taken below work_dir/timestamp',
    )
    parser.add_argument(
        '--wait-time',
        type=float,
        default=2,
        help='seconds that --show keeps a window open',
    )
    parser.add_argument(
        '--tta', action='store_true', help='test-time augmentation'
    )
    return parser.parse_args()


def main():
    args = parse_args()
    cfg = launch.load_config(args)
    cfg.load_from = args.checkpoint
    if args.show or args.show_dir:
        evaluation.set_visualization(
            cfg,
            show=args.show,
            show_dir=args.show_dir,
            wait_time=args.wait_time,
        )
    if args.out:
        evaluation.set_out(cfg, args.out)
    if args.tta:
        evaluation.set_tta(cfg)
    launch.build_runner(cfg).test()


if __name__ == '__main__':
    main()
