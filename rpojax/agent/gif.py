"""Write pictures of an episode as an animated GIF."""

from pathlib import Path

import numpy as np

CAPTION_PIXELS = 20  # height of the line above each picture
FONT_PIXELS = 12
INK = "#22313f"
MOST_COLORS = 64
LEAST_FPS = 0.01  # a GIF has room for 655 seconds of a picture


def gif_path(path: str | Path, name: str = "path") -> Path:
    """The path of a GIF to write; ValueError for another suffix."""
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise ValueError(f"{name} = {str(path)!r} does not end in .gif; give a file name that does")
    return path


def write_gif(path: Path, frames: np.ndarray, rewards: np.ndarray, fps: float) -> None:
    """Write pictures [n + 1, ...] with a line above each: the step, and the return so far."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(FONT_PIXELS)
    pictures = []
    for index, total in enumerate([0.0, *np.cumsum(rewards)]):
        picture = Image.new("RGB", (frames.shape[2], frames.shape[1] + CAPTION_PIXELS), "white")
        picture.paste(Image.fromarray(frames[index]), (0, CAPTION_PIXELS))
        caption = f"step {index}   return {total:.1f}"
        ImageDraw.Draw(picture).text((6, 3), caption, INK, font)
        pictures.append(picture.quantize(MOST_COLORS, dither=Image.Dither.NONE))
    first, *rest = pictures
    first.save(path, "GIF", save_all=True, append_images=rest, duration=round(1000 / fps), loop=0)
