"""Count of unreadable images, shared by all workers of a loader."""

import logging
from copy import deepcopy

import torch
from mmengine.logging import print_log

#: Number of images that the error message names.
MAX_NAMED_IMAGES = 3
#: Failures after which a process that has read no image gives up.
MAX_FIRST_FAILURES = 20
#: Errors of code or config, which no content of an image causes.
CODE_ERRORS = (AttributeError, ImportError, KeyError, NameError, TypeError)


class UnreadableImages:
    """Records which images of a data set cannot be read.

    It keeps one byte per image in memory that forked and spawned workers
    share, so each worker skips the images that others recorded, and all read
    the same count.

    Args:
        count: Number of images.
        share: Largest share of them that may be unreadable, 0 to 1; above 0
            at least one may be.

    Raises:
        ValueError: If ``share`` is not between 0 and 1.
    """

    def __init__(self, count: int, share: float) -> None:
        self.share = check_share(share)
        self.allowed = max(1, int(share * count)) if share else 0
        self._flags = torch.zeros(count, dtype=torch.uint8).share_memory_()
        #: Of this process only.
        self.any_read, self._failed = False, 0

    def __contains__(self, index: int) -> bool:
        return bool(self._flags[index])

    def __len__(self) -> int:
        return int(self._flags.count_nonzero())

    def __deepcopy__(self, memo: dict) -> 'UnreadableImages':
        """A copy has its own count, also in shared memory."""
        new = object.__new__(type(self))
        memo[id(self)] = new
        new.__dict__ = deepcopy(self.__dict__, memo)
        new._flags.share_memory_()
        return new

    @property
    def indices(self) -> list[int]:
        return self._flags.nonzero().flatten().tolist()

    @property
    def too_many(self) -> bool:
        """Whether the run must end: over the share, or no image is left."""
        return len(self) > self.allowed or len(self) == len(self._flags)

    @property
    def only_failures(self) -> bool:
        """Whether the first images of this process all failed."""
        return not self.any_read and self._failed >= MAX_FIRST_FAILURES

    def add(self, index: int, path: str, reason: str) -> None:
        """Record an image, and log it the first time."""
        self._failed += 1
        if index in self:
            return
        self._flags[index] = 1
        print_log(
            f'Unreadable image {path} is skipped ({reason}); '
            f'{len(self)} of {len(self._flags)} so far.',
            logger='current',
            level=logging.WARNING,
        )

    def message(self, paths: list[str], reason: str) -> str:
        """Error message at the end of the run.

        Args:
            paths: Paths of the first unreadable images.
            reason: Why the first of them cannot be read.
        """
        count, total = len(self), len(self._flags)
        more = ', ...' if count > len(paths) else ''
        named = f'{", ".join(paths)}{more}. The first of them: {reason}.'
        if not self.too_many:
            return (
                f'the first {MAX_FIRST_FAILURES} images that were tried '
                f'cannot be read: {named} Usual cause: a disk that is not '
                'mounted, or a first transform that does not read such files.'
            )
        return (
            f'{count} of {total} images ({count / total:.1%}) cannot be read, '
            f'and max_unreadable={self.share:g} allows {self.allowed}: '
            f'{named} Usual cause: an interrupted copy or download, or a disk '
            'that is not mounted. Copy them again, remove them, or raise '
            'max_unreadable in the data set.'
        )


def is_code_error(error: Exception) -> bool:
    """Whether a reader failed because of its code or config."""
    if isinstance(error, AttributeError) and error.name and error.obj is None:
        return False  # OpenCV returns None for an image it cannot decode
    return isinstance(error, CODE_ERRORS)


def check_share(share: float) -> float:
    """The share, if it is a number from 0 to 1."""
    if not (isinstance(share, (int, float)) and 0 <= share <= 1):
        raise ValueError(
            'UnlabelledImages: max_unreadable must be a share of the images '
            f'from 0 to 1, got {share!r}.'
        )
    return share
