"""The formulas of FGD as they stand, with all maps that they name."""

import torch

from mmdistill_dense.functional import box_masks


def plain_attention(x, tau):
    positions = x.abs().mean(1).flatten(1) / tau
    channels = x.abs().mean((2, 3)) / tau
    positions = positions.softmax(1).view(len(x), *x.shape[2:])
    return positions[0].numel() * positions, x.shape[1] * channels.softmax(1)


def plain_pool(x, key):
    share = torch.einsum('nchw,c->nhw', x, key).flatten(1).softmax(1)
    return torch.einsum('ncp,np->nc', x.flatten(2), share)


def plain_distances(
    *, student, teacher, foreground, background, shift=None, tau=0.5
):
    """As ``focal_global_distances``."""
    positions, channels = plain_attention(teacher, tau)
    count = len(student)
    found = []
    for mask in (foreground, background):
        root = [
            x.sqrt()
            for x in (
                mask[:, None],
                positions[:, None],
                channels[..., None, None],
            )
        ]
        one, other = (
            x * root[0] * root[1] * root[2] for x in (student, teacher)
        )
        found.append((one - other).square().sum() / count)
    learned = plain_attention(student, tau)
    differences = learned[0] - positions, learned[1] - channels
    found.append(sum(x.abs().sum() for x in differences) / count)
    moved = student if shift is None else student + shift[..., None, None]
    found.append((moved - teacher).square().sum() / count)
    return found


def plain_loss(loss, *, student, teacher, level, targets):
    """As ``FocalGlobalLoss``, with its blocks."""
    boxes = [x / targets.stride[0] for x in targets.boxes]
    masks = box_masks(boxes, student.shape[2:], student)
    found = plain_distances(
        student=student,
        teacher=teacher,
        foreground=masks[0],
        background=masks[1],
        tau=loss.tau,
    )
    moved = []
    sides = (loss.student_blocks, student), (loss.teacher_blocks, teacher)
    for blocks, x in sides:
        block = blocks[level]
        pooled = plain_pool(x, block.key)
        added = block.fc2(block.norm(block.fc1(pooled)).relu())
        moved.append(x + added[..., None, None])
    found[3] = (moved[0] - moved[1]).square().sum() / len(student)
    weighted = zip(loss.weights.values(), found, strict=True)
    return sum(w * x for w, x in weighted)
