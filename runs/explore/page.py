"""The page of a catalogue."""

from typing import Any

import gradio as gr

from runs.explore import noise_page, translation_page
from runs.explore.catalogue import Catalogue

KEPT = 600  # seconds that the file of a picture is kept


def page_of(catalogue: Catalogue) -> Any:
    """Return the page (`gradio.Blocks`) of a catalogue's generators."""
    runs = ", ".join(catalogue.open(name).run for name in catalogue.usual)
    kind = translation_page if catalogue.translators else noise_page
    with gr.Blocks(
        title=f"explore {runs}",
        analytics_enabled=False,
        fill_width=True,
        delete_cache=(KEPT, KEPT),
    ) as page:
        kind.fill(page, catalogue)
    return page
