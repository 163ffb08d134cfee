"""Figures as files."""

import pytest
from matplotlib.figure import Figure

from runs.common.figures import write_figure


@pytest.mark.parametrize("layout", [None, "constrained"])
def test_a_figure_is_written_as_matplotlib_writes_it(layout, tmp_path):
    def drawn() -> Figure:
        figure = Figure(figsize=(3, 2), dpi=50, layout=layout)
        for axis in figure.subplots(1, 2):
            axis.plot([0, 1], [0, 123456], label="line")
        axis.set(title="title", xlabel="x", ylabel="y")
        figure.legend(loc="outside lower center" if layout else "lower center")
        return figure

    drawn().savefig(tmp_path / "expected.png")
    written = write_figure(drawn(), tmp_path / "new" / "found.png")
    assert written.read_bytes() == (tmp_path / "expected.png").read_bytes()
