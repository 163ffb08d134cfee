"""How a figure of matplotlib becomes a file."""

from pathlib import Path
from typing import TYPE_CHECKING

from egan.files import atomic_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_figure(figure: "Figure", path: Path) -> Path:
    """Write a figure as a PNG, whole or not at all; return its path.

    It is laid out first, for `savefig` draws one that has a layout twice.
    """
    layout = figure.get_layout_engine()
    if layout is not None:
        layout.execute(figure)
        figure.set_layout_engine("none")
    with atomic_file(path) as temporary:
        figure.savefig(temporary, format="png")
    return path
