"""New-points explorer: what densely-anchored sampling makes around an anchor, and what it is nearest to."""

import math
from typing import Any, NamedTuple

import torch
import traitlets
from torch import Tensor

from dmlteach.course.widgets.explorable import Explorable, front_end
from dmlteach.course.widgets.new_points_explorer.making import nearest, new_points, reach
from dmlteach.course.widgets.new_points_explorer.picture import draw
from dmlteach.errors import DMLTeachError
from dmlteach.options import one_of

CLASSES = ("A", "B", "C")
RANGES = ((1.0, 1.0), (0.99, 1.01), (0.9, 1.1), (0.8, 1.25), (0.67, 1.5), (0.5, 2.0))
SHIFTS = (0.0, 0.01, 0.1, 0.25, 0.5, 1.0)
CLASSMATES = ((1.5, 1.2), (2.1, 1.35), (1.65, 0.6), (2.3, 0.75))
OTHERS = (
    (0.7, 2.4), (1.1, 2.7), (0.9, 3.1), (1.5, 2.9), (1.3, 2.3),
    (3.1, 1.0), (3.4, 1.4), (3.5, 0.7), (3.8, 1.1), (3.3, 0.4),
)  # fmt: skip
LABELS = (0,) * 5 + (1,) * 5 + (2,) * 5


class Scene(NamedTuple):
    """Where the three classes lie.

    Attributes:
        label: as it is shown.
        origin: what lies in the lower left corner of the picture; all points are moved by it.
    """

    label: str
    origin: tuple[float, float]


SCENES = {"near": Scene("near the origin", (0.0, 0.0)), "far": Scene("far from the origin", (6.0, 0.0))}
START = {"low": 0.99, "high": 1.01, "shift": 0.01, "channels": 1, "scene": "near", "at": [1.9, 0.95]}
STATES: dict[str, dict[str, Any]] = {
    "as for birds": START,
    "as for products": {**START, "low": 0.5, "high": 2.0, "shift": 0.1},
    "whole differences": {**START, "low": 1.0, "high": 1.0, "shift": 1.0},
    "far from the origin": {**START, "low": 0.9, "high": 1.1, "shift": 0.0, "scene": "far"},
}


class NewPointsExplorer(Explorable):
    """All that DAS may make of one movable point of class A, among points of three classes in the plane.

    Args:
        low, high: ends of the range of the scales, one of `RANGES`.
        shift: the factor on differences within the class, one of `SHIFTS`.
        channels: how many of the two axes are scaled: 1, the one that is most often the larger in the
            class, or 2.
        scene: "near" (the origin is in the picture) or "far" (the same points six units farther right).
        at: where the anchor lies, (x, y) from the lower left corner of the picture.
        numbers: whether the table of numbers is open.

    Raises:
        DMLTeachError: an unknown range, shift, number of channels or scene, or an anchor that is no point.
    """

    name = "new_points_explorer"
    _esm, _css = front_end(name)
    saved = ("low", "high", "shift", "channels", "scene", "at", "numbers", "recorded")
    low = traitlets.Float(0.99).tag(sync=True)
    high = traitlets.Float(1.01).tag(sync=True)
    shift = traitlets.Float(0.01).tag(sync=True)
    channels = traitlets.Int(1).tag(sync=True)
    scene = traitlets.Unicode("near").tag(sync=True)
    at = traitlets.List([1.9, 0.95]).tag(sync=True)
    numbers = traitlets.Bool(False).tag(sync=True)
    recorded = traitlets.Dict().tag(sync=True)  # points, ranges and states, for the front-end

    def __init__(
        self,
        low: float = 0.99,
        high: float = 1.01,
        shift: float = 0.01,
        channels: int = 1,
        scene: str = "near",
        at: Any = None,
        numbers: bool = False,
    ):
        one_of("scene", scene, SCENES)
        if (low, high) not in RANGES:
            choices = ", ".join(f"({a:g}, {b:g})" for a, b in RANGES)
            raise DMLTeachError(f"The range is {(low, high)}; choose low and high from {choices}.")
        if shift not in SHIFTS:
            choices = ", ".join(f"{one:g}" for one in SHIFTS)
            raise DMLTeachError(f"shift is {shift!r}; choose one of {choices}.")
        if channels not in (1, 2):
            raise DMLTeachError(f"channels is {channels!r}; it is 1 or 2, as the plane has no more.")
        super().__init__(
            low=float(low), high=float(high), shift=float(shift), channels=channels, scene=scene,
            at=_place(START["at"] if at is None else at), numbers=numbers, recorded=packed(),
        )  # fmt: skip

    @property
    def points(self) -> Tensor:
        """(15, 2) real points, the anchor first, then its classmates."""
        here = torch.tensor([self.at, *CLASSMATES, *OTHERS], dtype=torch.float64)
        return here + torch.tensor(SCENES[self.scene].origin, dtype=torch.float64)

    @property
    def made(self) -> Tensor:
        """(M, 2) new points of the anchor."""
        return new_points(self.points[:5], 0, self.channels, self.low, self.high, self.shift)

    @property
    def nearest(self) -> Tensor:
        """(M,) row of the real point that each new point is nearest to."""
        return nearest(self.made, self.points)

    @property
    def inside(self) -> int:
        """How many new points are nearest to a point of their class."""
        return int((self.nearest < 5).sum())

    @property
    def reach(self) -> float:
        """Distance of the farthest new point, as a share of that to the nearest classmate."""
        return reach(self.made, self.points[:5], 0)

    def picture(self) -> tuple[str, str]:
        """The plane as an SVG document, and what it shows in words."""
        made, origin = self.made, SCENES[self.scene].origin
        svg = draw(
            self.points.tolist(), LABELS, 0, made.tolist(), (self.nearest < 5).tolist(), origin
        )  # fmt: skip
        told = (
            f"scales from {self.low:g} to {self.high:g}, shifts of {self.shift:g} of a difference: "
            f"{self.inside} of {len(made)} new points are nearest to a point of their class, and the "
            f"farthest lies {self.reach:.0%} of the way to the nearest classmate."
        )
        return svg, f"Points of three classes in the plane, and the new points of one of class A; {told}"


def _place(given: Any) -> list[float]:
    try:
        at = [float(x) for x in given]
    except (TypeError, ValueError):
        at = []
    if len(at) != 2 or not all(map(math.isfinite, at)):
        raise DMLTeachError(f"at is {given!r}; give the anchor's x and y.")
    return at


def packed() -> dict[str, Any]:
    """Points, scenes, named states and values of the sliders, as JSON has them."""
    return {
        "classes": list(CLASSES), "labels": list(LABELS), "others": [list(p) for p in (*CLASSMATES, *OTHERS)],
        "scenes": {name: {"label": of.label, "origin": list(of.origin)} for name, of in SCENES.items()},
        "ranges": [list(one) for one in RANGES], "shifts": list(SHIFTS), "states": STATES,
    }  # fmt: skip
