# What BYOL does to the crop of either view of an image (Grill et al., 2020).
# The file of a data set puts its own crop before both lists.
flip = dict(type='RandomFlip', prob=0.5)
colour = [
    dict(
        type='mmdistill_dense.ColorJitter',
        brightness=0.4,
        contrast=0.4,
        saturation=0.2,
        hue=0.1,
        prob=0.8),
    dict(type='mmdistill_dense.RandomGrayscale', prob=0.2)
]
changes_1 = [
    flip, *colour,
    dict(type='mmdistill_dense.GaussianBlur', sigma=(0.1, 2.0), prob=1.0)
]
changes_2 = [
    flip, *colour,
    dict(type='mmdistill_dense.GaussianBlur', sigma=(0.1, 2.0), prob=0.1),
    dict(type='mmdistill_dense.Solarize', thr=128, prob=0.2)
]
