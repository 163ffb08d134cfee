"""A white canvas to draw on with the pointer; each stroke is sent when it ends.

Gradio's own is for editing large pictures: it draws by WebGL, and must be told to draw first.
"""

from base64 import b64decode
from binascii import Error
from typing import Any

import gradio as gr

from runs.common.errors import ConfigError

HEAD = "data:image/png;base64,"
HTML = """
<canvas width="${width}" height="${height}" style="border:1px solid #bbb;touch-action:none;
cursor:crosshair;max-width:100%"></canvas>
<div style="display:flex;gap:1em;align-items:center;padding-top:.4em">
<label>Line <input type="range" min="1" max="8" step="0.5" value="1.5"></label>
<input type="color" value="#000000" title="Colour">
<button type="button" style="border:1px solid #bbb;border-radius:4px;padding:.1em .8em">Clear
</button></div>
"""
SCRIPT = """
const canvas = element.querySelector('canvas'), brush = canvas.getContext('2d');
const [line, colour] = element.querySelectorAll('input');
const clear = () => {
  brush.fillStyle = 'white'; brush.fillRect(0, 0, canvas.width, canvas.height);
};
const send = () => trigger('input', {drawing: canvas.toDataURL('image/png')});
const place = event => {
  const box = canvas.getBoundingClientRect();
  return [(event.clientX - box.left) * canvas.width / box.width,
          (event.clientY - box.top) * canvas.height / box.height];
};
let from = null;
const draw = event => {
  const to = place(event);
  brush.lineWidth = line.value * props.factor;
  brush.lineCap = 'round';
  brush.strokeStyle = colour.value;
  brush.beginPath(); brush.moveTo(...from); brush.lineTo(...to); brush.stroke();
  from = to;
};
canvas.addEventListener('pointerdown', event => {
  canvas.setPointerCapture(event.pointerId); from = place(event); draw(event);
});
canvas.addEventListener('pointermove', event => { if (from) draw(event); });
canvas.addEventListener('pointerup', () => { if (from) { from = null; send(); } });
element.querySelector('button').addEventListener('click', () => { clear(); send(); });
clear();
"""


def canvas(width: int, height: int, factor: int) -> Any:
    """Make a canvas for an image of `width` x `height`, enlarged by a factor; its event is `input`.

    The event's data have the `drawing`, see `drawn`.
    """
    return gr.HTML(
        html_template=HTML, js_on_load=SCRIPT, elem_id="drawing",
        width=factor * width, height=factor * height, factor=factor,
    )  # fmt: skip


def drawn(event: gr.EventData) -> bytes:
    """Return the PNG file of a canvas's event.

    Raises:
        ConfigError: the browser has sent something else.
    """
    text = getattr(event, "drawing", None)
    try:
        if isinstance(text, str) and text.startswith(HEAD):
            return b64decode(text.removeprefix(HEAD), validate=True)
    except Error:
        pass
    raise ConfigError("what the browser sent is no drawing")
