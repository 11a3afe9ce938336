"""Temperature explorer: how a temperature divides a loss's push among the negatives of one anchor."""

from functools import cache
from typing import Any

import traitlets
from torch import Tensor

from dmlteach.course.widgets.explorable import Explorable, front_end
from dmlteach.course.widgets.temperature_explorer.picture import draw
from dmlteach.course.widgets.temperature_explorer.shares import (
    EMBEDDINGS,
    MEMBERS,
    TEMPERATURES,
    effective_number,
    losses_of,
    row_of,
    shares_of,
    weights_of,
)
from dmlteach.errors import DMLTeachError
from dmlteach.options import one_of


def _shown(member: str, temperature: float, embedding: str) -> dict[str, Any]:
    return {"member": member, "temperature": temperature, "embedding": embedding}


STATES = {
    "nearly the hardest alone": _shown("supcon", 0.01, "trained"),
    "a positive is pushed away": _shown("supcon", 0.05, "trained"),
    "the better network, the higher loss": _shown("supcon", 0.0125, "trained"),
}


class TemperatureExplorer(Explorable):
    """How a temperature divides the push of a log-softmax loss among the negatives of one anchor.

    The anchor, its three positives and its 60 negatives are a batch of real drawings, before and after a
    training. Losses are those of the library, means over eight such batches.

    Args:
        member: the loss: "n_pair" (one positive, InfoNCE), "nca" or "supcon".
        temperature: of the cosine, one of `shares.TEMPERATURES` (0.01 to 2).
        embedding: "untrained" or "trained".
        anchor: 0 to 15, the class of the batch whose first picture is the anchor.
        numbers: whether the table of numbers is open.

    Raises:
        DMLTeachError: an unknown loss, temperature, embedding or anchor.
    """

    name = "temperature_explorer"
    _esm, _css = front_end(name)
    saved = ("member", "temperature", "embedding", "anchor", "numbers", "recorded")
    member = traitlets.Unicode("supcon").tag(sync=True)
    temperature = traitlets.Float(1.0).tag(sync=True)
    embedding = traitlets.Unicode("untrained").tag(sync=True)
    anchor = traitlets.Int(0).tag(sync=True)
    numbers = traitlets.Bool(False).tag(sync=True)
    recorded = traitlets.Dict().tag(sync=True)  # cosines of the anchor, and losses, for the front-end

    def __init__(
        self,
        member: str = "supcon",
        temperature: float = 1.0,
        embedding: str = "untrained",
        anchor: int = 0,
        numbers: bool = False,
    ):
        one_of("loss", member, MEMBERS)
        if temperature not in TEMPERATURES:
            shown = ", ".join(f"{t:g}" for t in TEMPERATURES)
            raise DMLTeachError(
                f"temperature {temperature!r} is no place of the slider; choose one of {shown}."
            )
        row_of(embedding, anchor)
        super().__init__(
            member=member, temperature=float(temperature), embedding=embedding, anchor=anchor,
            numbers=numbers, recorded=packed(anchor),
        )  # fmt: skip

    @property
    def weights(self) -> Tensor:
        """∂L/∂S of the anchor's pairs, (63,): the positives first, each part by falling cosine."""
        return weights_of(self.member, self.temperature, row_of(self.embedding, self.anchor))

    @property
    def effective_number(self) -> float:
        """As if so many of the 60 negatives shared the push alike."""
        return effective_number(shares_of(self.weights, row_of(self.embedding, self.anchor)))

    def picture(self) -> tuple[str, str]:
        """The shares as an SVG document, and what they show in words."""
        return draw({**_shown(self.member, self.temperature, self.embedding), "anchor": self.anchor})


@cache
def packed(anchor: int) -> dict[str, Any]:
    """Cosines of an anchor in each embedding, and losses at each temperature, as JSON.

    Args:
        anchor: 0 to 15.
    """
    rows = {}
    for name in EMBEDDINGS:
        row = row_of(name, anchor)
        rows[name] = {
            "cosine": [round(s, 6) for s in row.cosine.tolist()],
            "positive": row.is_positive.tolist(),
            "paired": row.is_paired.tolist(),
        }
    members = {
        name: {**of._asdict(), "loss": {e: [round(x, 4) for x in losses_of(name, e)] for e in EMBEDDINGS}}
        for name, of in MEMBERS.items()
    }
    return {"temperatures": list(TEMPERATURES), "rows": rows, "members": members, "states": STATES}
