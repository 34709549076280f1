from .multi_view_preprocessor import MultiViewPreprocessor

__all__ = ['MultiViewPreprocessor']
