"""Bytes: what a function allocates at its peak, leaves, and saves."""

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
    """Bytes above what was allocated before.

    Attributes:
        peak: Most at any moment.
        net: What is left when the function's result is gone.
    """

    peak: int
    net: int


def measure(fn: Callable[[], object], device: str = 'cpu') -> Peak:
    """Count what torch's allocator gives to a function.

    On a GPU these are the allocator's own statistics. On a CPU it is each
    allocation and release that torch's profiler saw, added up in order; what
    does not come from torch's allocator, such as numpy's arrays, is not
    seen.

    Args:
        fn: Called once; its result is dropped at once.
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
    """Signed bytes of the CPU allocator, in the order in which they came."""
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
    """Operations of a call that torch knows to wait for the GPU."""
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

    Distinct storages are counted, each as a whole: a view keeps all of its
    base alive, and an input that is saved counts too. What a function hides
    in other attributes than ``save_for_backward`` is not seen.

    Args:
        fn: Gives what ``backward`` could be called on; it is not.
    """
    storages: dict[int, int] = {}
    tensors = []  # or an address would be given out twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        tensors.append(tensor)
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        fn()
    return sum(storages.values())
