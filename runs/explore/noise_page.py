"""The page of generators that make images from noise."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import gradio as gr

from runs.common.errors import ConfigError
from runs.explore.catalogue import Catalogue, Shown
from runs.explore.frame import IN_TURN, Data, View, choice_of_generators, connect, empty_stage
from runs.explore.latents import MOVES, Pick, Wish, has_styles, seed_of
from runs.explore.units import AMOUNTS, dissected, files_of
from runs.explore.views import COUNTS, VIEWS, A, B, Controls, picked, picker
from runs.sampling.conditions import NO_TAGS
from runs.sampling.latent import COARSE_TO_FINE

Parts = dict[str, Any]  # components by name


def fill(page: Any, catalogue: Catalogue) -> None:
    """Put all on a page (`gradio.Blocks`), and connect it."""
    with gr.Row():
        with gr.Column(scale=1, min_width=340):
            names = choice_of_generators(catalogue)
            parts = _left(catalogue)
        with gr.Column(scale=3, min_width=480):
            with gr.Tabs(elem_id="tabs"):
                tabs = {name: _tab(name, parts) for name in VIEWS}
            frame = empty_stage(names)
    mode = parts["mode"] = gr.State(next(iter(VIEWS)))
    for name, tab in tabs.items():
        tab.select(lambda name=name: name, None, mode, **IN_TURN)
    picking = [parts[name] for name in ("a", "b", "turn")]
    parts["picker"].select(
        _pick, [*picking, parts["seed"], parts["count"], parts["shape"]], picking, **IN_TURN
    )
    moves = _moves(parts)
    parts["back"].click(lambda: [0] * len(moves), None, moves, **IN_TURN)
    fixed = ("picker", "shape", "picked", "turn", "back")
    controls = [part for name, part in parts.items() if name not in fixed]

    def changes(some: Sequence[Shown], data: Data) -> tuple[View, Data]:
        asked = _asked({name: data.get(part) for name, part in parts.items()})
        told = "<br>".join(
            f'<b style="color:rgb{colour}">{name}</b>: {pick.name}'
            for name, colour, pick in (("A", A, asked.a), ("B", B, asked.b))
        )
        picture = picker(some[0], asked)
        others = {
            parts["picker"]: picture,
            parts["shape"]: picture.shape,
            parts["picked"]: told,
            parts["switches"]: gr.update(choices=_switches(some[0])),
            parts["repair"]: _choice(files_of(some[0]), asked.repair),
        }
        return partial(VIEWS[data[mode]], some, asked), others

    outputs = [parts[name] for name in ("picker", "shape", "picked", "switches", "repair")]
    connect(page, catalogue, frame, controls, [c.change for c in controls], changes, outputs)


def _left(catalogue: Catalogue) -> Parts:
    """Make the controls of the latents."""
    samplers = [catalogue.open(name).sampler for name in catalogue.usual]
    card = samplers[0].conditions
    kind = card.conditions.kind if card else None
    names = list(card.conditions.names) if card else []
    parts: Parts = {"a": gr.State((0, 0)), "b": gr.State((0, 1))}  # seed and number
    with gr.Row():
        parts["seed"] = gr.Number(0, label="Seed", min_width=120, elem_id="seed")
        parts["count"] = gr.Dropdown(list(COUNTS), value=16, label="Images", min_width=120)
    parts["psi"] = gr.Slider(
        0, 1.5, 1, step=0.05, label="Truncation psi; 1 is none", elem_id="psi",
        visible=any(map(has_styles, samplers)),
    )  # fmt: skip
    parts["classes"] = gr.Dropdown(
        names if kind == "labels" else [], value=[], multiselect=True, visible=kind == "labels",
        label="Classes, in turn; none: as in the data", elem_id="classes",
    )  # fmt: skip
    parts["tags"] = gr.Dropdown(
        [*names, NO_TAGS] if kind == "tags" else [], value=[], multiselect=True,
        visible=kind == "tags", label="Tags; nothing: as in the data", elem_id="tags",
    )  # fmt: skip
    parts["turn"] = gr.Radio(
        ["A", "B"], value="A", label="A click in this picture picks", elem_id="turn"
    )
    parts["picker"] = gr.Image(
        show_label=False, format="png", interactive=False, buttons=[], elem_id="picker"
    )
    parts["shape"] = gr.State(None)  # of that picture
    parts["picked"] = gr.HTML(elem_id="picked")
    return parts


def _tab(name: str, parts: Parts) -> Any:
    """Make a tab with its controls."""
    with gr.Tab(name) as tab:
        if name == "Samples":
            gr.Markdown("The same latents for each generator.")
        elif name == "Change A":
            gr.Markdown("Along the directions that change images most on average.")
            with gr.Row():
                for n in range(MOVES):
                    parts[f"move{n}"] = gr.Slider(
                        -4, 4, 0, step=0.1, label=f"Direction {n + 1}", min_width=200,
                        elem_id=f"move{n}",
                    )  # fmt: skip
            parts["back"] = gr.Button("Back to A as picked", size="sm", elem_id="back")
        elif name == "Walk":
            parts["steps"] = gr.Slider(3, 12, 8, step=1, label="Images from A to B")
        elif name == "Mix":
            parts["parts"] = gr.CheckboxGroup(
                list(COARSE_TO_FINE), value=["coarse"], label="A with these styles of B",
                elem_id="parts",
            )  # fmt: skip
        elif name == "Units":
            parts["switches"] = gr.CheckboxGroup(
                [], label="Units of the first generator, by class: click those to be changed",
                elem_id="switches",
            )  # fmt: skip
            parts["amount"] = gr.Radio(
                list(AMOUNTS), value=AMOUNTS[0], label="They are", elem_id="amount"
            )
        elif name == "Repair":
            parts["repair"] = gr.Dropdown(
                [], label="Units of the first generator that are switched off, in a file",
                allow_custom_value=True, elem_id="repair",
            )  # fmt: skip
    return tab


def _moves(parts: Parts) -> list[Any]:
    return [part for name, part in parts.items() if name.startswith("move")]


def _asked(values: Parts) -> Controls:
    """Return what the controls say, from their values by name."""
    moves = tuple(float(value) for value in _moves(values))
    return Controls(
        Wish(values["psi"], tuple(values["classes"]), tuple(values["tags"])),
        seed_of(values["seed"]),
        values["count"],
        Pick(*_pair(values["a"]), moves),
        Pick(*_pair(values["b"])),
        int(values["steps"]),
        tuple(values["parts"]),
        tuple(values["switches"]),
        values["amount"],
        values["repair"] or "",
    )


def _pair(value: Any) -> tuple[int, int]:
    first, second = map(int, value)
    return first, second


def _switches(one: Shown) -> list[str]:
    with suppress(ConfigError):  # it is told in the tab of units
        return [switch.name for switch in dissected(one).switches]
    return []


def _choice(files: list[str], chosen: str) -> Any:
    """Return an update of the choice of files; the first one is chosen where none is."""
    return gr.update(choices=files, value=chosen or next(iter(files), None))


def _pick(
    a: Any, b: Any, turn: str, seed: Any, count: int, shape: Any, place: gr.SelectData
) -> tuple[Any, Any, str]:
    """Return A, B and whose turn is next, after a click on the picker's picture."""
    number = picked(*_pair(place.index), shape, count)
    if number is None:
        return a, b, turn
    pick = (seed_of(seed), number)
    return (pick, b, "B") if turn == "A" else (a, pick, "A")
