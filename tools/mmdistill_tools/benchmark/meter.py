"""Bytes that a function allocates at its peak, retains and saves."""

import gc
import warnings
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile

from .clock import frozen_garbage


class Peak(NamedTuple):
    """Bytes relative to those allocated before.

    Attributes:
        peak: Maximum at any moment.
        net: Bytes that remain after the function's result is freed.
    """

    peak: int
    net: int


def measure(fn: Callable[[], object], device: str = 'cpu') -> Peak:
    """Measure the allocations of a function by torch's allocator.

    On a GPU these are the allocator's own statistics. On a CPU
    the allocations and releases recorded by torch's profiler are summed in
    order; memory from other allocators, such as numpy's, is not counted.

    Args:
        fn: Called once; its result is dropped immediately.
        device: ``cpu``, or ``cuda``.
    """
    with frozen_garbage():
        if device.startswith('cuda'):
            return _measure_cuda(fn, device)
        activities = [ProfilerActivity.CPU]
        with profile(activities=activities, profile_memory=True) as profiled:
            fn()
            gc.collect()
        return _sum(_allocations(profiled))


def _measure_cuda(fn: Callable[[], object], device: str) -> Peak:
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    fn()
    torch.cuda.synchronize(device)
    peak = torch.cuda.max_memory_allocated(device) - before
    gc.collect()
    return Peak(peak, torch.cuda.memory_allocated(device) - before)


def _allocations(profiled: Any) -> Iterable[int]:
    """Signed bytes of the CPU allocator, in order of time."""
    events = profiled.profiler.kineto_results.events()
    found = [event for event in events if event.name() == '[memory]']
    found.sort(key=lambda event: event.start_ns())
    return (event.nbytes() for event in found)


def _sum(changes: Iterable[int]) -> Peak:
    total = peak = 0
    for change in changes:
        total += change
        peak = max(peak, total)
    return Peak(peak, total)


def synchronizations(fn: Callable[[], object]) -> int:
    """Number of operations for which torch reports a GPU synchronization."""
    torch.cuda.set_sync_debug_mode('warn')
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            fn()
    finally:
        torch.cuda.set_sync_debug_mode('default')
    return sum('synchronizing CUDA' in str(one.message) for one in caught)


def saved_bytes(fn: Callable[[], object]) -> int:
    """Bytes that autograd keeps for the backward pass of a function.

    Distinct storages are counted in full: a view keeps its whole base alive,
    and a saved input counts, too. Tensors that a function keeps outside
    ``save_for_backward`` are not counted.

    Args:
        fn: Forward pass; ``backward`` is not called.
    """
    storages: dict[int, int] = {}
    tensors = []  # keep tensors alive, so that no address is reused

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        tensors.append(tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        fn()
    return sum(storages.values())
