"""Triton kernels: on a GPU, or interpreted, or only compiled."""
