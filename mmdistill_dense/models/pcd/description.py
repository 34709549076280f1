"""Description of a pre-training model, for its log."""

from torch import nn


def describe_contrast(model: nn.Module) -> str:
    """Student, attention with its cost, teacher, queue and pairing."""
    grid = tuple(model.spec.shape[-2:])
    parameters = sum(p.numel() for p in model.backbone.parameters())
    lines = [
        'Pixel-wise contrastive distillation:',
        f'  student {type(model.backbone).__name__}, '
        f'{parameters / 1e6:.2f} M parameters: {model.spec}, '
        f'{grid[0]}x{grid[1]} cells',
    ]
    if not isinstance(model.attention, nn.Identity):
        name = type(model.attention).__name__
        parameters, macs = model.attention.cost(grid)
        lines.append(
            f'  {name} on it, {parameters / 1e6:.2f} M parameters, '
            f'{macs / 1e6:.1f} M multiply-adds an image; dropped on '
            'export, like the head'
        )
    lines += [f'  {s}' for s in model.teacher.describe().splitlines()]
    lines.append(
        f'  pairing {model.pairing!r}, a queue of {model.queue.size:,} '
        f'vectors of dimension {model.teacher.channels}'
    )
    return '\n'.join(lines)
