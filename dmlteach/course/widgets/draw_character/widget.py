"""Draw a character: the nearest of 659, found by a network that runs in the page."""

from functools import cache
from pathlib import Path
from typing import Any

import traitlets

from dmlteach.course.widgets.draw_character import picture as drawing
from dmlteach.course.widgets.draw_character.measured import measured
from dmlteach.course.widgets.draw_character.packing import packed
from dmlteach.course.widgets.draw_character.search import Neighbor, Search
from dmlteach.course.widgets.draw_character.traced import EXAMPLES, traced
from dmlteach.course.widgets.explorable import FOLDER, Explorable, front_end
from dmlteach.course.widgets.strokes import checked_strokes


def page_source() -> str:
    """What the page computes with: the strokes' pixels, the network and the search."""
    scripts = (FOLDER / "strokes.js", Path(__file__).with_name("network.js"))
    return "\n".join(script.read_text("utf-8") for script in scripts)


def _front_end() -> tuple[str, str]:
    module, style = front_end("draw_character", "pad")
    loading = Path(__file__).with_name("load.js").read_text("utf-8")
    return f"{page_source()}\n{loading}\n{module}", style


@cache
def search() -> Search:
    """The page's network and gallery, in the kernel."""
    return Search()


class DrawCharacter(Explorable):
    """Draw a character and see the nearest of 659 that the network was never trained on.

    The shipped network runs in the page, in notebooks as on pages without a kernel, with weights of eight
    bits that are sent on the first stroke. `drawing.strokes = [[[20, 20], [80, 80]]]` draws from here, and
    `drawing.neighbors` finds what the page finds.

    Args:
        strokes: lists of points [x, y], 0 (left, top) to 104.
        numbers: whether the table of numbers is open.
        script: address of the script that `packing.script` makes, for a page without a kernel.

    Raises:
        DMLTeachError: strokes beyond the pad.
    """

    name = "draw_character"
    _esm, _css = _front_end()
    saved = ("strokes", "numbers", "examples", "measured", "script")
    strokes: Any = traitlets.List([]).tag(sync=True)
    numbers = traitlets.Bool(False).tag(sync=True)
    examples: Any = traitlets.List([]).tag(sync=True)  # prepared drawings and the characters they are
    measured = traitlets.Dict().tag(sync=True)
    script = traitlets.Unicode("").tag(sync=True)
    kernel = traitlets.Bool(True).tag(sync=True)  # a page without one does not have this
    asked = traitlets.Bool(False).tag(sync=True)  # the figure wants what it computes with
    packed = traitlets.Dict().tag(sync=True)

    def __init__(self, strokes: Any = (), numbers: bool = False, script: str = ""):
        examples = [{"strokes": one.strokes, "character": one.character} for one in traced()[:EXAMPLES]]
        super().__init__(
            strokes=list(strokes), numbers=numbers, script=script, examples=examples, measured=measured()
        )

    @property
    def neighbors(self) -> list[Neighbor]:
        """The five nearest to the drawing, nearest first; none where nothing is drawn."""
        return search().nearest(self.strokes) if self.strokes else []

    @traitlets.validate("strokes")
    def _check_strokes(self, proposal: Any) -> list:
        return checked_strokes(proposal["value"])

    @traitlets.observe("asked")
    def _bring(self, change: Any) -> None:
        if change["new"]:
            self.packed = packed()

    def picture(self) -> tuple[str, str]:
        """The drawing and its neighbors; where nothing is drawn, those of the first prepared drawing."""
        if self.strokes:
            return drawing.draw(self.strokes, self.neighbors, f"a drawing of {len(self.strokes)} strokes")
        one = traced()[0]
        told = f"for instance character {one.character + 1}, drawn by another person"
        return drawing.draw(one.strokes, search().nearest(one.strokes), told)
