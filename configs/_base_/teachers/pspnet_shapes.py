# The demo's PSPNet, trained, as it comes with the package.
teacher = dict(
    cfg='mmdistill_dense::demo/pspnet_teacher_shapes.py',
    checkpoint='{{fileDirname}}/../../demo/weights/pspnet_teacher_shapes.pth',
)
