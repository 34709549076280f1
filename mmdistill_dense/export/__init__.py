"""Exports a trained student as files that do not need this package."""
