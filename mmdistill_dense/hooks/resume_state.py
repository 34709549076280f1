"""State of each process that a bit-equal resume needs and MMEngine leaves out.

Random generators, buffers that differ between the processes (statistics of
batch norm), and gradients that are still being accumulated.
"""

import hashlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object
from mmengine.optim import OptimWrapperDict
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import Tensor
from torch.utils.data import DataLoader

from mmdistill_dense.models.utils import bare_model


def generator_states() -> dict[str, Any]:
    """States of torch's, NumPy's and Python's generators; plain types only."""
    name, keys, *rest = np.random.get_state()
    states = dict(
        torch=torch.get_rng_state(),
        numpy=(name, torch.from_numpy(keys.astype(np.int64)), *rest),
        python=random.getstate(),
    )
    if torch.cuda.is_available():
        states['cuda'] = torch.cuda.get_rng_state()
    return states


def set_generators(states: dict[str, Any]) -> None:
    """Set the generators to :func:`generator_states`, on any device."""
    torch.set_rng_state(states['torch'].cpu())
    name, keys, *rest = states['numpy']
    np.random.set_state((name, keys.cpu().numpy().astype(np.uint32), *rest))
    random.setstate(states['python'])
    if 'cuda' in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states['cuda'].cpu())


def gather_states(
    runner: Runner, generators: dict, validated: bool
) -> list[dict[str, Any]]:
    """The state of every process; must be called in all of them.

    Args:
        runner: Runner that is about to save a checkpoint.
        generators: :func:`generator_states` of this process.
        validated: Whether the validation of this step has taken place.
    """
    model = bare_model(runner)
    digests = {name: _digest(b) for name, b in model.named_buffers()}
    first = all_gather_object(digests)[0]
    return all_gather_object(
        dict(
            generators=generators,
            validated=validated,
            workers=runner.train_dataloader.num_workers,
            gradients={
                name: parameter.grad.cpu()
                for name, parameter in model.named_parameters()
                if parameter.grad is not None and _accumulates(runner)
            },
            buffers={
                name: buffer.cpu()
                for name, buffer in model.named_buffers()
                if digests[name] != first[name]
            },
        )
    )


def restore_tensors(runner: Runner, state: dict[str, Any]) -> None:
    """Restore gradients and buffers of :func:`gather_states`."""
    model = bare_model(runner)
    parameters = dict(model.named_parameters())
    for name, gradient in state['gradients'].items():
        parameter = parameters[name]
        parameter.grad = gradient.to(parameter.device)
    buffers = dict(model.named_buffers())
    for name, buffer in state['buffers'].items():
        buffers[name].copy_(buffer)


def validate_if_due(runner: Runner) -> None:
    """Validate where MMEngine would have, right after the checkpoint.

    Otherwise its scores, and whether it is the best one, would be lost.
    """
    loop = runner.train_loop
    if isinstance(loop, EpochBasedTrainLoop):
        if loop.iter != loop.epoch * len(loop.dataloader):
            return  # in the middle of an epoch
        done, end = loop.epoch, loop.max_epochs
    elif isinstance(loop, IterBasedTrainLoop):
        done, end = loop.iter, loop.max_iters
    else:
        return  # a loop that validates in another way
    loop._decide_current_val_interval()
    due = done == end or done % loop.val_interval == 0
    if runner.val_loop is not None and due and done >= loop.val_begin:
        runner.val_loop.run()


def seed_worker(
    worker_id: int,
    first: Callable[[int], None] | None,
    seed: int,
    rank: int,
    epoch: int,
) -> None:
    """Seed a worker of a data loader for one epoch.

    Args:
        worker_id: Index of the worker.
        first: Function that the loader would call without epochs.
        seed: Seed of the training.
        rank: Rank of the process.
        epoch: Index of the epoch.
    """
    if first is not None:
        first(worker_id)
    key = np.random.SeedSequence([seed, rank, worker_id, epoch])
    words = key.generate_state(3).tolist()
    random.seed(words[0])
    np.random.seed(words[1])
    torch.manual_seed(words[2])


class ActBeforeItem:
    """Iterator that calls a function once, before its item of an index.

    Args:
        iterator: The iterator.
        index: Number of items before the call.
        action: Function to call.
    """

    def __init__(
        self, iterator: Iterator, index: int, action: Callable[[], None]
    ) -> None:
        self._iterator = iterator
        self._left = index
        self._action = action

    def __iter__(self) -> Iterator:
        return self

    def __next__(self) -> Any:
        if self._left == 0:
            self._action()
        self._left -= 1
        return next(self._iterator)


def drop_workers(loader: DataLoader) -> None:
    """End persistent workers, so that the next epoch starts new ones."""
    if loader.persistent_workers:
        loader._iterator = None


def _accumulates(runner: Runner) -> bool:
    """Whether gradients of several iterations are added up."""
    wrapper = runner.optim_wrapper
    several = isinstance(wrapper, OptimWrapperDict)
    parts = wrapper.values() if several else [wrapper]
    return any(getattr(part, '_accumulative_counts', 1) > 1 for part in parts)


def _digest(tensor: Tensor) -> str:
    plain = tensor.detach().cpu().contiguous().reshape(-1)
    data = plain.view(torch.uint8).numpy()
    return hashlib.sha256(data).hexdigest()
