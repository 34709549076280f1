"""What a pre-trained backbone is judged with."""

from .backbone_classifier import BackboneClassifier

__all__ = ['BackboneClassifier']
