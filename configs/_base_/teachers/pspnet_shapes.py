# The demo's PSPNet, as its training leaves it.
teacher = dict(
    cfg='mmdistill_dense::demo/pspnet_teacher_shapes.py',
    checkpoint='work_dirs/pspnet_teacher_shapes/iter_500.pth')
