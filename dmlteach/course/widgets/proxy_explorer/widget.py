"""Proxy explorer: three classes on a circle, a proxy for each, and which point a proxy listens to."""

import math
from typing import Any, NamedTuple

import torch
import traitlets
from torch import Tensor

from dmlteach.course.widgets.explorable import Explorable, front_end
from dmlteach.course.widgets.proxy_explorer.listening import (
    FAMILIES,
    MARGINS,
    SCALES,
    forces,
    half_from,
    on_circle,
    share,
    weights,
)
from dmlteach.course.widgets.proxy_explorer.picture import draw
from dmlteach.errors import DMLTeachError
from dmlteach.options import one_of

CLASSES = ("A", "B", "C")


class Scene(NamedTuple):
    """Points that stay where they are.

    Attributes:
        label: as it is shown.
        degrees: their angles, class by class.
        labels: their classes.
    """

    label: str
    degrees: tuple[float, ...]
    labels: tuple[int, ...]


def _classes(*sizes: int) -> tuple[int, ...]:
    return tuple(label for label, size in enumerate(sizes) for _ in range(size))


_B_AND_C = (205.0, 218.0, 230.0, 242.0, 255.0, 285.0, 298.0, 310.0, 322.0, 335.0)
SCENES = {
    "one": Scene(
        "one mode a class",
        (66, 78, 103, 115, 150, 190, 203, 214, 226, 238, 300, 312, 325, 338, 350),
        _classes(5, 5, 5),
    ),
    "two": Scene("A has two modes", (2, 12, 22, 158, 168, 178, *_B_AND_C), _classes(6, 5, 5)),
}
START = {
    "loss": "normalized_softmax", "scale": 1.0, "margin": 0.1, "scene": "one", "proxies": [92, 214, 325],
    "focus": 0,
}  # fmt: skip
STATES: dict[str, dict[str, Any]] = {
    "all of them": START,
    "only the hardest": {**START, "scale": 32.0},
    "its own alike": {**START, "loss": "proxy_nca", "scale": 32.0},
    "two modes": {**START, "scale": 8.0, "scene": "two", "proxies": [90, 225, 315]},
}
TELLTALES = {
    "normalized_softmax": "A point whose own proxy has nearly all the probability is listened to no more; "
    "the larger the scale, the sooner.",
    "arcface": "The margin counts the own angle as larger than it is, so that points softmax is done with "
    "are still drawn.",
    "proxy_nca": "The own proxy is not in the sum, so that all own points have the same weight, at any scale "
    "and however near they are.",
    "proxy_anchor": "The proxy compares points with each other: the worst of its own, and the nearest of the "
    "others.",
}


class ProxyExplorer(Explorable):
    """Three classes of points on a circle, one movable proxy for each, and what turns a proxy.

    Args:
        loss: one of `listening.FAMILIES`.
        scale: the factor in front of the cosine, one of `listening.SCALES`.
        margin: of ArcFace (an angle, in radians) and of Proxy-Anchor (a cosine), one of
            `listening.MARGINS`.
        scene: "one" (each class in one place) or "two" (class A in two).
        proxies: angles of the three proxies, in degrees, counterclockwise from the right.
        focus: whose proxy is looked at, 0 to 2.
        numbers: whether the table of numbers is open.

    Raises:
        DMLTeachError: an unknown loss, scale, margin or scene, proxies that are no three angles, or a focus
            that is no class.
    """

    name = "proxy_explorer"
    _esm, _css = front_end(name)
    saved = ("loss", "scale", "margin", "scene", "proxies", "focus", "numbers", "recorded")
    loss = traitlets.Unicode("normalized_softmax").tag(sync=True)
    scale = traitlets.Float(1.0).tag(sync=True)
    margin = traitlets.Float(0.1).tag(sync=True)
    scene = traitlets.Unicode("one").tag(sync=True)
    proxies = traitlets.List([92, 214, 325]).tag(sync=True)
    focus = traitlets.Int(0).tag(sync=True)
    numbers = traitlets.Bool(False).tag(sync=True)
    recorded = traitlets.Dict().tag(sync=True)  # scenes, losses and states, for the front-end

    def __init__(
        self,
        loss: str = "normalized_softmax",
        scale: float = 1.0,
        margin: float = 0.1,
        scene: str = "one",
        proxies: Any = None,
        focus: int = 0,
        numbers: bool = False,
    ):
        one_of("loss", loss, FAMILIES)
        one_of("scene", scene, SCENES)
        for name, value, known in (("scale", scale, SCALES), ("margin", margin, MARGINS)):
            if value not in known:
                choices = ", ".join(f"{one:g}" for one in known)
                raise DMLTeachError(f"{name} is {value!r}; choose one of {choices}.")
        if focus not in range(len(CLASSES)):
            raise DMLTeachError(f"focus is {focus!r}; it is 0, 1 or 2, a class.")
        super().__init__(
            loss=loss, scale=float(scale), margin=float(margin), scene=scene, focus=focus, numbers=numbers,
            proxies=_angles(START["proxies"] if proxies is None else proxies), recorded=packed(),
        )  # fmt: skip

    @property
    def cosines(self) -> Tensor:
        """Of each point and each proxy, (N, 3)."""
        return on_circle(SCENES[self.scene].degrees) @ on_circle(self.proxies).T

    @property
    def labels(self) -> Tensor:
        """(N,) class of each point."""
        return torch.tensor(SCENES[self.scene].labels)

    @property
    def weights(self) -> Tensor:
        """∂L/∂s of each cosine, (N, 3): below 0 a point draws the proxy, above 0 it pushes it."""
        return weights(self.loss, self.cosines, self.labels, self.scale, self.margin)

    @property
    def forces(self) -> Tensor:
        """What each point contributes to ∂L/∂ψ of the focused proxy at the angle ψ, (N,)."""
        column = self.weights[:, self.focus]
        return forces(column, SCENES[self.scene].degrees, self.proxies[self.focus])

    @property
    def shares(self) -> Tensor:
        """Of all that turns the focused proxy, the share of each point, (N,)."""
        return share(self.forces)

    @property
    def half(self) -> int:
        """How few points hold half of it."""
        return half_from(self.shares)

    @property
    def nearest(self) -> int:
        """How many points of the focused class are nearer to its proxy than to the others."""
        own = self.labels == self.focus
        return int((self.cosines[own].argmax(1) == self.focus).sum())

    def picture(self) -> tuple[str, str]:
        """The circle as an SVG document, and what it shows in words."""
        scene = SCENES[self.scene]
        told = (
            f"{FAMILIES[self.loss].label}, scale {self.scale:g}: half of what turns the proxy of class "
            f"{CLASSES[self.focus]} comes from {self.half} of {len(scene.degrees)} points, and "
            f"{self.nearest} of its {scene.labels.count(self.focus)} points are nearest to it."
        )
        svg = draw(scene.degrees, scene.labels, self.proxies, self.focus, self.shares, self.weights)
        return svg, f"Points of three classes on a circle, and three proxies. {told}"


def _angles(given: Any) -> list[float]:
    try:
        angles = [float(angle) for angle in given]
    except (TypeError, ValueError):
        angles = []
    if len(angles) != len(CLASSES) or not all(map(math.isfinite, angles)):
        raise DMLTeachError(f"proxies are {given!r}; give three angles, in degrees.")
    return [angle % 360 for angle in angles]


def packed() -> dict[str, Any]:
    """Scenes, losses, named states and values of the sliders, as JSON has them."""
    families = {
        name: {"label": of.label, "margin": of.margin, "telltale": TELLTALES[name]}
        for name, of in FAMILIES.items()
    }
    scenes = {
        name: {"label": of.label, "degrees": list(of.degrees), "labels": list(of.labels)}
        for name, of in SCENES.items()
    }
    return {
        "families": families, "scenes": scenes, "states": STATES, "scales": list(SCALES),
        "margins": list(MARGINS), "classes": list(CLASSES),
    }  # fmt: skip
