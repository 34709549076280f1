# The demo's Mask R-CNN, as its training leaves it.
teacher = dict(
    cfg='mmdistill_dense::demo/mask-rcnn_teacher_shapes.py',
    checkpoint='work_dirs/mask-rcnn_teacher_shapes/iter_300.pth')
