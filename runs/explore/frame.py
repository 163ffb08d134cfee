"""What both kinds of page have: a choice of generators, a line for mistakes, a stage for pictures.

All of the page comes from this machine: its fonts are the browser's own.
"""

import html
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from egan.data import DataError
from populations.executors.base import out_of_memory
from runs.common.errors import ConfigError
from runs.common.memory import short_memory
from runs.explore.catalogue import MOST, Catalogue, Shown
from runs.explore.views import Picture
from runs.sampling.pictures import embedded

Data = dict[Any, Any]  # values by component
View = Callable[[], list[Picture]]
WIDE = 900  # pixels of a picture that has a line of its own
SIDE_BY_SIDE = 300  # pixels that others need beside each other
PAUSE = 3.0  # seconds between two looks for new snapshots
IN_TURN: dict[str, Any] = {  # how every event is answered: one at a time, the last one of many
    "concurrency_id": "explore",
    "concurrency_limit": 1,
    "trigger_mode": "always_last",
    "api_visibility": "private",
}
THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
CSS = (
    ".pictures{display:flex;flex-wrap:wrap;gap:1.2em}.pictures figure{margin:0}"
    ".pictures img{width:100%;display:block}"
    ".pictures figcaption{padding-top:.3em;font-size:.9em}"
    ".mistake{background:#fdecea;color:#8a1c13;border-left:4px solid #c0392b;padding:.6em .8em;"
    "margin:0}#picker img{cursor:pointer}footer{display:none!important}"
)


@dataclass(frozen=True)
class Frame:
    """The components that both kinds of page have.

    Attributes:
        names: of the generators that are shown.
        message: the line for mistakes.
        stage: the pictures.
        seen: what the last look at the runs found, see `Catalogue.state`.
    """

    names: Any
    message: Any
    stage: Any
    seen: Any


def choice_of_generators(catalogue: Catalogue) -> Any:
    """Make the choice of generators."""
    return gr.Dropdown(
        catalogue.names,
        value=catalogue.usual,
        multiselect=True,
        max_choices=MOST,
        allow_custom_value=True,  # a snapshot that is gone is refused in plain words
        label="Generators, side by side",
        elem_id="names",
    )


def empty_stage(names: Any) -> Frame:
    """Make the line for mistakes and the stage."""
    message, stage = (gr.HTML(elem_id=name, padding=False) for name in ("message", "stage"))
    return Frame(names, message, stage, gr.State(()))


def connect(
    page: Any,
    catalogue: Catalogue,
    frame: Frame,
    controls: Sequence[Any],
    triggers: Sequence[Any],
    changes: Callable[[Sequence[Shown], Data], tuple[View, Data]],
    outputs: Sequence[Any],
) -> None:
    """Show everything again after every change, and when a run has a new snapshot.

    Args:
        page: that all is on.
        catalogue: of the generators.
        frame: the components that all pages have.
        controls: the others, whose values are given to `changes`.
        triggers: events after which all is shown again.
        changes: returns what makes the pictures of some generators, and new values of `outputs`.
        outputs: further components.
    """

    def show(data: Data) -> Data:
        names = data[frame.names]
        if not 1 <= len(names) <= MOST:
            raise ConfigError(f"choose 1 to {MOST} generators to be shown, not {len(names)}")
        some = [catalogue.open(name) for name in names]
        view, others = changes(some, data)
        found = {frame.stage: "", frame.message: ""} | others
        try:
            return found | {frame.stage: gallery(view())}
        except Exception as error:  # the other components have their new values all the same
            return found | {frame.message: mistake(error)}

    def look() -> tuple[object, ...]:
        return catalogue.state

    def refresh(data: Data) -> Data:
        return {frame.names: gr.update(choices=catalogue.names)} | guarded(show, frame)(data)

    given = {frame.names, *controls}
    filled = [frame.message, frame.stage, *outputs]
    told: dict[str, Any] = {"show_progress": "minimal", **IN_TURN}
    gr.on([page.load, gr.Timer(PAUSE).tick], look, None, frame.seen, **IN_TURN)
    frame.seen.change(refresh, given, [*filled, frame.names], **told)
    gr.on([frame.names.input, *triggers], guarded(show, frame), given, filled, **told)


def guarded(function: Callable[[Data], Data], frame: Frame) -> Callable[[Data], Data]:
    """Return a function whose errors become the line for mistakes; the rest stays as it is."""

    def call(data: Data) -> Data:
        try:
            return function(data)
        except Exception as error:  # a page must show no traceback, whatever it is
            return {frame.message: mistake(error)}

    return call


def mistake(error: Exception) -> str:
    """Return the line for mistakes, as HTML."""
    return f'<p class="mistake" role="alert">{html.escape(in_plain_words(error))}</p>'


def in_plain_words(error: Exception) -> str:
    """Return what is shown of an error; what nobody foresaw goes to the terminal as a whole."""
    if isinstance(error, ConfigError | DataError):
        return str(error)
    if out_of_memory(error):
        return f"{short_memory(error)}. Choose fewer images or fewer generators"
    if isinstance(error, OSError):
        return f"a file cannot be read: {error}"
    traceback.print_exception(error, file=sys.stderr)
    return f"this failed inside the program ({type(error).__name__}); the terminal has the details"


def gallery(pictures: Sequence[Picture]) -> str:
    """Return pictures side by side, with their titles, as HTML."""
    return f'<div class="pictures">{"".join(map(_figure, pictures))}</div>'


def _figure(one: Picture) -> str:
    width = one.pixels.shape[1]
    basis = "100%" if width > WIDE else f"{SIDE_BY_SIDE}px"
    return (
        f'<figure style="flex:1 1 {basis};max-width:{width}px">{embedded(one.pixels)}'
        f"<figcaption>{html.escape(one.title)}</figcaption></figure>"
    )
