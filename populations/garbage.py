"""Python's search for garbage in cycles of objects, less often.

Torch's modules alone are 300,000 objects. While they are imported, Python searches them again and
again, and once more at the end of the process: 0.7 s in all, for no garbage. Neither does a
generation make any; what makes some, such as a plot, makes about 10,000 objects of it.
"""

import atexit
import gc

OBJECTS = 50_000  # made, and not freed at once, between two searches; by default 700


def collect_seldom() -> None:
    """Search for garbage seldom in this process, and not at its end."""
    gc.set_threshold(OBJECTS)
    atexit.register(gc.freeze)
