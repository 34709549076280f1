"""Lock that allows one call at a time in a work dir."""

import os
import time
from typing import TextIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

#: Seconds to wait: data loaders of a terminated training exit late.
LOCK_TIMEOUT = 10.0


def acquire_lock(file: TextIO) -> bool:
    """Lock an open file, for this process and the trainings it starts.

    The last of these processes releases it, so a training that outlives its
    killed parent still excludes other calls.

    Returns:
        False if another process has the lock. True also on file systems
        without locks, such as some network file systems.
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
