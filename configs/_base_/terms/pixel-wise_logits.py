# Pixel-wise KL on the classifier's output. Weight 1 is CIRKD's for this very
# form, a mean over pixels; other code divides otherwise (docs/losses.md).
terms = dict(
    pixel_wise=dict(
        at='logits',
        loss=dict(
            type='mmdistill_dense.PixelWiseLoss', tau=1.0, loss_weight=1.0)))
