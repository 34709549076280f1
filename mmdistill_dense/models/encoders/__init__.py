"""Networks of any package as backbones, and as frozen teachers."""

from .encoder import Encoder
from .teacher import EncoderModel, EncoderTeacher

__all__ = ['Encoder', 'EncoderModel', 'EncoderTeacher']
