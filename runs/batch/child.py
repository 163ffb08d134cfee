"""What the process of a run owes to the one that started it: a status, and not to outlive it."""

import os
import signal
import threading
import time
from collections.abc import Callable

DONE, FAILED, STOPPED = 0, 1, 3  # statuses that it ends with
ORPHAN = 1.0  # seconds that it lives on after its parent


def stop_with_parent(take: Callable[[bytes], None] = lambda _: None) -> None:
    """End this process when its standard input does, which its parent holds.

    It has a moment to stop as SIGTERM asks it to; what it loses is made again, to the bit. What
    comes in before is given to `take`, in the thread that reads it.
    """

    def wait() -> None:
        while part := os.read(0, 1024):  # not by sys.stdin, whose lock the interpreter's end wants
            take(part)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ORPHAN)
        os._exit(STOPPED)

    threading.Thread(target=wait, name="parent", daemon=True).start()
