"""The search for garbage, in a process of its own."""

import subprocess
import sys

import pytest

CYCLES = """
import gc
from populations.garbage import collect_seldom
searches = []
gc.callbacks.append(lambda phase, info: searches.append(info["generation"]))
class Cycle:
    def __init__(self):
        self.itself = self
    def __del__(self, say=print):
        say("found")
{call}
kept = [[] for _ in range(20_000)]  # as an import makes them
print(len(searches) > 0)
gc.disable()
Cycle()
"""


@pytest.mark.process
@pytest.mark.parametrize(("call", "said"), [("collect_seldom()", "False\n"), ("", "True\nfound\n")])
def test_imports_are_not_searched_and_the_end_is_quick(call, said):
    code = CYCLES.format(call=call)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == said
