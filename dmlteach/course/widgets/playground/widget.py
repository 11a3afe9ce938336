"""Triplet playground: drag an anchor, a positive and a negative, and watch where each loss moves them."""

import math
from typing import Any

import traitlets

from dmlteach.course.widgets.explorable import Explorable, front_end
from dmlteach.course.widgets.picture import LIMITS, draw
from dmlteach.course.widgets.values import LOSSES, loss_and_gradient
from dmlteach.errors import DMLTeachError
from dmlteach.options import one_of

VIEWS = {"line": 1, "plane": 2}  # dimension of the points


class TripletPlayground(Explorable):
    """Three points on a line or in the plane, with the negative gradients of triplet and SST loss.

    Every state that the figure shows can be read and set from Python: `playground.line = [0, 1, 0.3]` moves
    the points, `playground.values["sst"]` holds the loss and its gradient where they stand, by autograd.
    On a page without a kernel the figure draws the same values from the losses' closed form.

    Args:
        view: "line" (linked to the gradient maps) or "plane".
        line: positions of anchor, positive and negative on the line, each −2.5 to 2.5.
        plane: their positions (x, y) in the plane, each coordinate −2 to 2.
        margin: of the triplet loss, in squared distance, 0 to 2.
        follow: the loss that Step and Play follow: "triplet", "sst" or "contrastive".
        contrastive: show the contrastive loss as a third.
        numbers: whether the table of numbers is open.

    Raises:
        DMLTeachError: unknown view or loss, points of wrong shape or beyond the figure, margin out of range.
    """

    name = "playground"
    _esm, _css = front_end(name)
    saved = ("view", "line", "plane", "margin", "follow", "contrastive", "numbers")
    view = traitlets.Unicode("line").tag(sync=True)
    line = traitlets.List([-0.4, 0.6, 0.4]).tag(sync=True)
    plane = traitlets.List([[-0.8, -0.4], [0.7, -0.6], [0.1, 0.5]]).tag(sync=True)
    margin = traitlets.Float(0.2).tag(sync=True)
    follow = traitlets.Unicode("sst").tag(sync=True)
    contrastive = traitlets.Bool(False).tag(sync=True)
    numbers = traitlets.Bool(False).tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)  # the state last computed, and its values

    def __init__(
        self,
        view: str = "line",
        line: Any = None,
        plane: Any = None,
        margin: float = 0.2,
        follow: str = "sst",
        contrastive: bool = False,
        numbers: bool = False,
    ):
        given: dict[str, Any] = {"line": line, "plane": plane}
        super().__init__(
            view=view,
            margin=margin,
            follow=follow,
            contrastive=contrastive,
            numbers=numbers,
            **{name: points for name, points in given.items() if points is not None},
        )
        self._compute()

    @property
    def points(self) -> list[list[float]]:
        """Anchor, positive and negative of the current view, (3, 1) or (3, 2)."""
        return [[x] for x in self.line] if self.view == "line" else self.plane

    @property
    def values(self) -> dict[str, dict]:
        """Of each loss: its "loss" and its "gradient" (3, D) at the current points, by autograd."""
        return self.answer["values"]

    @traitlets.observe("view", "line", "plane", "margin")
    def _compute(self, change: Any = None) -> None:
        values = {}
        for name in LOSSES:
            loss, gradient = loss_and_gradient(name, self.points, self.margin)
            values[name] = {"loss": loss, "gradient": gradient}
        # With the state it belongs to: the figure may have moved on meanwhile.
        self.answer = {"view": self.view, "points": self.points, "margin": self.margin, "values": values}

    @traitlets.validate("view")
    def _check_view(self, proposal: Any) -> str:
        one_of("view", proposal["value"], VIEWS)
        return proposal["value"]

    @traitlets.validate("follow")
    def _check_follow(self, proposal: Any) -> str:
        one_of("loss", proposal["value"], LOSSES)
        return proposal["value"]

    @traitlets.validate("margin")
    def _check_margin(self, proposal: Any) -> float:
        if not 0 <= proposal["value"] <= 2:
            raise DMLTeachError(f"margin is {proposal['value']}; it may be 0 to 2, a squared distance.")
        return proposal["value"]

    @traitlets.validate("line", "plane")
    def _check_points(self, proposal: Any) -> list:
        name, given = proposal["trait"].name, proposal["value"]
        points = [[z] for z in given] if name == "line" else given
        try:
            points = [[float(x) for x in z] for z in points]
        except (TypeError, ValueError):
            points = []
        fits = len(points) == 3 and all(len(z) == VIEWS[name] for z in points)
        if not fits or not all(math.isfinite(x) and abs(x) <= LIMITS[name] for z in points for x in z):
            shape = "[a, p, n]" if name == "line" else "[[ax, ay], [px, py], [nx, ny]]"
            raise DMLTeachError(f"{name} is {given!r}; give {shape}, numbers within ±{LIMITS[name]}.")
        return [x for z in points for x in z] if name == "line" else points

    def picture(self) -> tuple[str, str]:
        """The points and arrows as an SVG document, and what they show in words."""
        shown = [name for name in LOSSES if name != "contrastive" or self.contrastive]
        return draw(self.state, {name: self.values[name] for name in shown})
