# The demo's Mask R-CNN, trained, as it comes with the package.
teacher = dict(
    cfg='mmdistill_dense::demo/mask-rcnn_teacher_shapes.py',
    checkpoint='{{fileDirname}}/../../demo/weights/'
    'mask-rcnn_teacher_shapes.pth',
)
