"""The process of a run that another process started: its statuses; it ends with its parent."""

import os
import signal
import threading
import time
from collections.abc import Callable

DONE, FAILED, STOPPED = 0, 1, 3  # statuses that it ends with
ORPHAN = 1.0  # seconds that it lives on after its parent


def stop_with_parent(take: Callable[[bytes], None] = lambda _: None) -> None:
    """End this process when its standard input is closed, as it is when the parent ends.

    The process gets SIGTERM and `ORPHAN` seconds to stop; what it loses is computed again, with
    the same bits. Earlier input is given to `take`, in the thread that reads it.
    """

    def wait() -> None:
        while part := os.read(0, 1024):  # not by sys.stdin, whose lock the interpreter's end wants
            take(part)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ORPHAN)
        os._exit(STOPPED)

    threading.Thread(target=wait, name="parent", daemon=True).start()
