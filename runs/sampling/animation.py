"""Moving pictures: a looping .gif, or an .mp4."""

import shutil
import subprocess
from pathlib import Path

import numpy as np

from egan.files import atomic_file
from runs.common.errors import ConfigError

SMALLEST_FRAME = 256  # frames are enlarged by whole factors to at least this side


def _frames(images: np.ndarray) -> np.ndarray:
    """Return images (N, H, W, C) enlarged to be looked at."""
    factor = max(1, SMALLEST_FRAME // images.shape[1])
    return images.repeat(factor, 1).repeat(factor, 2)


def write_animation(images: np.ndarray, path: Path, rate: int) -> None:
    """Write uint8 images (N, H, W, C) as a looping .gif, or as an .mp4 where ffmpeg is found.

    Raises:
        ConfigError: another suffix, or no ffmpeg for an .mp4, or ffmpeg fails.
    """
    if path.suffix.lower() == ".gif":
        _write_gif(_frames(images), path, rate)
    elif path.suffix.lower() == ".mp4":
        _write_mp4(_frames(images), path, rate)
    else:
        raise ConfigError(f"{path}: an animation's name ends in .gif or .mp4")


def _write_gif(frames: np.ndarray, path: Path, rate: int) -> None:
    from PIL import Image

    pictures = [Image.fromarray(f[:, :, 0] if f.shape[2] == 1 else f) for f in frames]
    with atomic_file(path) as temporary:
        pictures[0].save(
            temporary,
            "GIF",
            save_all=True,
            append_images=pictures[1:],
            duration=round(1000 / rate),
            loop=0,
        )


def _write_mp4(frames: np.ndarray, path: Path, rate: int) -> None:
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise ConfigError(f"{path}: an .mp4 needs the program ffmpeg, not found here; take .gif")
    _, height, width, channels = frames.shape
    kind = "gray" if channels == 1 else "rgb24"
    with atomic_file(path) as temporary:
        command = [ffmpeg, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", kind]
        command += ["-s", f"{width}x{height}", "-r", str(rate), "-i", "-"]
        command += ["-pix_fmt", "yuv420p", "-f", "mp4", str(temporary)]
        done = subprocess.run(command, input=frames.tobytes(), capture_output=True, check=False)
        if done.returncode:
            raise ConfigError(f"{path}: ffmpeg failed: {done.stderr.decode().strip()}")
