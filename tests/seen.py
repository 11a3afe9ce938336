"""What a reader sees of the letters in a figure: recorded while Matplotlib draws them, in pixels of the page.

As a program, in the kernel of a notebook, it keeps what every figure shows there: `recording` starts it.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from unittest.mock import patch

import numpy as np

PER_INCH = 96  # pixels of a page, by definition of CSS
SMALLEST = 10  # pixels of a font that can be read with ease
OF_INDEX = 0.7  # size of an index or exponent, of that of its line
WINDOWS = {"column": 736, "phone": 358}  # pixels for a figure: the site's in a wide window, and in one of 390


def letters(figure) -> dict:
    """Size of the figure, and of each line of text the words, their height, and their four corners."""
    from matplotlib.backends.backend_agg import RendererAgg

    figure.set_dpi(PER_INCH)
    width, height = figure.bbox.size
    lines = []

    class Recorder(RendererAgg):
        def draw_text(self, gc, x, y, s, prop, angle, ismath=False, mtext=None):
            wide, high, below = self.get_text_width_height_descent(s, prop, ismath)
            corners = np.array([(0, -below), (wide, -below), (wide, high - below), (0, high - below)])
            turn = np.exp(1j * np.deg2rad(angle)) * (corners @ [1, 1j])
            has_index = ismath and ("_" in s or "^" in s)
            lines.append(
                {
                    "words": s,
                    "of": id(mtext),
                    "pixels": self.points_to_pixels(prop.get_size_in_points())
                    * (OF_INDEX if has_index else 1),
                    "corners": np.stack([x + turn.real, height - y + turn.imag], 1).tolist(),
                }
            )

    figure.draw(Recorder(round(width), round(height), PER_INCH))
    return {"size": [width, height], "lines": [line for line in lines if line["words"].strip()]}


def faults(shown: dict, room: float) -> list[str]:
    """What a reader could not read of a figure on a page with so many pixels for it."""
    width, height = shown["size"]
    shrunk = min(1, room / width)
    found = []
    for line in shown["lines"]:
        if line["pixels"] * shrunk < SMALLEST - 0.01:
            found.append(f"{line['words']!r} is {line['pixels'] * shrunk:.1f} pixels high")
        low, high = np.min(line["corners"], 0), np.max(line["corners"], 0)
        if (low < -1).any() or (high > np.array([width, height]) + 1).any():
            found.append(f"{line['words']!r} reaches out of the figure")
    for one, other in combinations(shown["lines"], 2):
        if one["of"] != other["of"] and _meet(np.array(one["corners"]), np.array(other["corners"])):
            found.append(f"{one['words']!r} and {other['words']!r} overlap")
    return found


def _meet(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two rectangles share more than two pixels in every direction that a side has."""
    for box in (one, other):
        for side in (box[1] - box[0], box[2] - box[1]):
            direction = side / max(np.hypot(*side), 1e-9)
            a, b = one @ direction, other @ direction
            if min(a.max(), b.max()) - max(a.min(), b.min()) <= 2:
                return False
    return True


@contextmanager
def recording(file: Path) -> Iterator[None]:
    """Within it, kernels that start write what their figures show to a file, a line for each drawing."""
    file.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as home:
        startup = Path(home) / "profile_default" / "startup"
        startup.mkdir(parents=True)
        shutil.copyfile(__file__, startup / "seen.py")
        with patch.dict(os.environ, {"IPYTHONDIR": home, "DMLTEACH_SEEN": str(file.absolute())}):
            yield
    file.touch()  # also where no figure was shown


def record(file: str) -> None:
    """Every figure that a page is given is written down with what it shows."""
    from dmlteach.plots.style import Picture

    drawn_for = Picture.for_page

    def for_page(self, width):
        figure = drawn_for(self, width)
        with Path(file).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"alt": self.alt, "for": width, **letters(figure)}) + "\n")
        return figure

    Picture.for_page = for_page


if __name__ == "__main__":  # as a kernel starts
    record(os.environ["DMLTEACH_SEEN"])
