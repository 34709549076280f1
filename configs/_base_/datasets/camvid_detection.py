# The boxes of camvid_instance.py, for detectors without masks.
_base_ = './camvid_instance.py'
val_evaluator = dict(metric='bbox')
test_evaluator = dict(metric='bbox')
