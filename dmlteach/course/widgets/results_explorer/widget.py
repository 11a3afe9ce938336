"""Results explorer: a ranking that changes with its filters, and what the difference of two tells."""

from collections.abc import Mapping
from typing import Any

import traitlets

from dmlteach.course.widgets.explorable import Explorable, front_end
from dmlteach.course.widgets.results_explorer import rows
from dmlteach.course.widgets.results_explorer.picture import describe, draw
from dmlteach.course.widgets.results_explorer.rows import Entry
from dmlteach.errors import unknown_name
from dmlteach.options import one_of
from dmlteach.sweep.compare import Difference, Setting, difference


class ResultsExplorer(Explorable):
    """A ranking of methods by Recall@1: by our own runs, by their tuning, or by what others have published.

    Means and intervals are taken anew for what passes the filters. Two methods can be chosen; their
    difference is paired by seed.

    Args:
        view: "final" (our runs on test classes), "tuning" (on val classes, by learning rate) or "published".
        filters: values by name, e.g. {"seed": 0} or {"rate": 0.001} or {"backbone": "ResNet50"}; the
            others have their usual value.
        a, b: names in the ranking whose difference is taken; "" for none.
        numbers: whether the table of numbers is open.

    Raises:
        DMLTeachError: an unknown view, filter, value or name.
    """

    name = "results_explorer"
    _esm, _css = front_end(name)
    saved = ("view", "filters", "a", "b", "numbers", "recorded")
    view = traitlets.Unicode("final").tag(sync=True)
    filters = traitlets.Dict().tag(sync=True)
    a = traitlets.Unicode("").tag(sync=True)
    b = traitlets.Unicode("").tag(sync=True)
    numbers = traitlets.Bool(False).tag(sync=True)
    recorded = traitlets.Dict().tag(sync=True)  # every number, for the front-end

    def __init__(
        self,
        view: str = "final",
        filters: Mapping[str, Any] | None = None,
        a: str = "",
        b: str = "",
        numbers: bool = False,
    ):
        one_of("view", view, rows.VIEWS)
        chosen = rows.settled(view, filters or {})
        known = {entry.name for entry in rows.ranking(view, chosen)}
        for name in filter(None, (a, b)):
            if name not in known:
                raise unknown_name("name in this ranking", name, known)
        super().__init__(view=view, filters=chosen, a=a, b=b, numbers=numbers, recorded=rows.packed())

    @property
    def ranking(self) -> list[Entry]:
        """What passes the filters, the best mean first."""
        return rows.ranking(self.view, self._settled)

    @property
    def difference(self) -> Difference | None:
        """A minus B over the seeds that both have; None where not both are chosen and shown."""
        shown = {entry.name: entry for entry in self.ranking}
        if self.a not in shown or self.b not in shown:
            return None
        one, other = (
            Setting(name, {}, {int(seed or 0): v for seed, v in shown[name].values.items()})
            for name in (self.a, self.b)
        )
        return difference(one, other)

    @property
    def _settled(self) -> dict[str, str]:
        """The filters; the front-end may have left some that another view has."""
        known = rows.FILTERS[self.view]
        return rows.settled(self.view, {k: v for k, v in self.filters.items() if k in known})

    def picture(self) -> tuple[str, str]:
        """The ranking as an SVG document, and what it shows in words."""
        classes, untrained = rows.beside(self.view, self._settled)
        alt = describe(self.view, self._settled, self.ranking, classes, untrained)
        return draw(self.ranking, (self.a, self.b), alt), alt
