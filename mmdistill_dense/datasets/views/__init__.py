"""Images without labels, and several views of each."""

from .colours import ColorJitter, GaussianBlur, RandomGrayscale, Solarize
from .labelled import LabelledImages, PackLabel
from .multi_view import MultiView, PackViews
from .random_resized_crop import RandomResizedCrop
from .unlabelled import UnlabelledImages

__all__ = [
    'ColorJitter',
    'GaussianBlur',
    'LabelledImages',
    'MultiView',
    'PackLabel',
    'PackViews',
    'RandomGrayscale',
    'RandomResizedCrop',
    'Solarize',
    'UnlabelledImages',
]
