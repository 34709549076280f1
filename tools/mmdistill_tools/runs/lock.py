"""One call at a time in a work dir."""

import os
import time
from typing import TextIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

#: Data loaders of a training that was ended live on for seconds.
LOCK_TIMEOUT = 10.0


def acquire_lock(file: TextIO) -> bool:
    """Lock an open file, for this process and the trainings it starts.

    The lock goes with the last of them. So one that outlived its call, which
    was killed, still keeps others away.

    Returns:
        False if another process has the lock. True also where there are no
        locks, as on some network file systems.
    """
    if fcntl is None:
        return True
    os.set_inheritable(file.fileno(), True)
    end = time.monotonic() + LOCK_TIMEOUT
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(0.2)
        except OSError:  # the file system has none
            return True
        else:
            return True
