"""The page of generators that translate images: draw one or upload one, and see it translated."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from egan.games import UnpairedGame
from runs.explore.canvas import canvas, drawn
from runs.explore.catalogue import Catalogue, Shown
from runs.explore.frame import IN_TURN, Data, View, choice_of_generators, connect, empty_stage
from runs.explore.views import ALONE, translation_view

THERE, BACK = "A to B", "B to A"


def fill(page: Any, catalogue: Catalogue) -> None:
    """Put all on a page (`gradio.Blocks`), and connect it."""
    one = catalogue.open(catalogue.usual[0]).translator
    _, height, width = one.shape
    with gr.Row():
        with gr.Column(scale=1, min_width=ALONE + 20):
            names = choice_of_generators(catalogue)
            way = gr.Radio(
                [THERE, BACK], value=THERE, label="Way", elem_id="way",
                visible=isinstance(one.game, UnpairedGame),
            )  # fmt: skip
            with gr.Tabs():
                with gr.Tab("Draw") as draw:
                    drawing = canvas(width, height, max(1, ALONE // max(height, width)))
                with gr.Tab("Upload"):
                    upload = gr.File(label="An image", height=ALONE // 2, elem_id="upload")
            resize = gr.Checkbox(
                True, label=f"Bring it to {width} x {height}, the size of the training",
                elem_id="resize",
            )  # fmt: skip
        with gr.Column(scale=2, min_width=480):
            frame = empty_stage(names)
    given = gr.State(None)  # the name and the content of a file
    draw.select(lambda: None, None, given, **IN_TURN)  # no upload is shown beside the canvas
    drawing.input(_from_canvas, None, given, **IN_TURN)
    upload.upload(_from_file, upload, given, **IN_TURN)

    def changes(some: Sequence[Shown], data: Data) -> tuple[View, Data]:
        name, content = data[given] or ("", None)
        backwards = data[way] == BACK
        return partial(translation_view, some, content, name, data[resize], backwards), {}

    controls = [way, resize, given]
    connect(page, catalogue, frame, controls, [c.change for c in controls], changes, [])


def _from_canvas(event: gr.EventData) -> tuple[str, bytes]:
    return "the drawing", drawn(event)


def _from_file(path: str) -> tuple[str, bytes]:
    return Path(path).name, Path(path).read_bytes()
