"""Retrieval browser: pick a query or draw a character, and see what each network takes it for."""

from collections.abc import Mapping, Sequence
from typing import Any

import traitlets
from torch import Tensor

from dmlteach import models
from dmlteach.course.widgets.explorable import Explorable, front_end
from dmlteach.course.widgets.retrieval_browser import picture as drawing
from dmlteach.course.widgets.retrieval_browser.strokes import EXAMPLES, embed_drawing
from dmlteach.course.widgets.strokes import MAX_POINTS, PEN, SIDE, checked_strokes, draw_strokes
from dmlteach.course.widgets.thumbnails import sheet
from dmlteach.data import ImageDataset
from dmlteach.embeddings import embed
from dmlteach.errors import DMLTeachError
from dmlteach.metrics import recall_at_k
from dmlteach.models import Model
from dmlteach.neighbors import nearest, nearest_others
from dmlteach.options import one_of
from dmlteach.plots.retrieval import pick_queries

VIEWS = ("pick", "draw")
LABELS = {"sst": "SST"}  # how a network is called where its name is not enough
QUESTION = "Predict first: how many of its nearest neighbours will each network get right?"
CASES = {  # of the nearest neighbour, by network: whether it is right
    "right only after training": lambda right: (
        not right["untrained"] and all(v for name, v in right.items() if name != "untrained")
    ),
    "right everywhere": lambda right: all(right.values()),
    "wrong everywhere": lambda right: not any(right.values()),
    "right for SST, not softmax": lambda right: right["sst"] and not right["softmax"],
    "right for softmax, not SST": lambda right: right["softmax"] and not right["sst"],
}


class RetrievalBrowser(Explorable):
    """Pick a query from a list, or draw a character: its nearest images under each of several networks.

    Neighbours of the listed queries and of a few drawn examples are computed here and travel with the page.
    A character drawn in a notebook is rendered like Omniglot's drawings, embedded and looked up by the
    kernel. Everything can be read and set from Python: `browser.strokes = [[[20, 20], [80, 80]]]` draws,
    `browser.neighbours["sst"]` holds what was found.

    Args:
        images: the gallery; listed queries come from it, and never find themselves.
        networks: names of shipped networks, or models by name.
        embeddings: (M, D) of all images by the name of the network, where they are known already.
        queries: (Q,) rows of the gallery to choose from, or how many to draw at random, of different classes.
        k: neighbours of each query.
        view: "pick" a query from the list, or "draw" a character.
        query: which of the listed queries, from 0; by default one on which the networks differ, if there is.
        shown: names of the networks whose neighbours are shown; at first only the first.
        strokes: of the drawn character: lists of points [x, y], 0 (left, top) to 104; only for drawings.
        copying: the drawn character is a copy of the chosen query, so that right and wrong can be told.
        numbers: whether the table of numbers is open.
        question: what to predict before touching.
        seed: of the choice of queries.
        device: where embeddings are computed: "auto", "cpu", "cuda" or "mps".

    Raises:
        DMLTeachError: unknown network or view, embeddings that do not fit the images, a query that is not in
            the list, strokes beyond the pad or for images with colours.
    """

    name = "retrieval_browser"
    _esm, _css = front_end(name, "pad")
    saved = ("view", "query", "shown", "strokes", "copying", "numbers", "data", "answer")
    view = traitlets.Unicode("pick").tag(sync=True)
    query = traitlets.Int(0).tag(sync=True)
    shown = traitlets.List(traitlets.Unicode()).tag(sync=True)
    strokes: Any = traitlets.List([]).tag(sync=True)
    copying = traitlets.Bool(False).tag(sync=True)
    numbers = traitlets.Bool(False).tag(sync=True)
    kernel = traitlets.Bool(True).tag(sync=True)  # a page without one does not have this
    data = traitlets.Dict().tag(sync=True)  # networks, queries with their neighbours, thumbnails
    answer = traitlets.Dict().tag(sync=True)  # the strokes last looked up, and what was found

    def __init__(
        self,
        images: ImageDataset,
        networks: Sequence[str] | Mapping[str, Model] = ("untrained", "softmax", "sst"),
        embeddings: Mapping[str, Tensor] | None = None,
        queries: int | Tensor = 24,
        k: int = 5,
        view: str = "pick",
        query: int | None = None,
        shown: Sequence[str] | None = None,
        strokes: Any = (),
        copying: bool = False,
        numbers: bool = False,
        question: str = QUESTION,
        seed: int = 0,
        device: str = "auto",
    ):
        self._images, self._k = images, k
        if isinstance(networks, Mapping):
            self._networks = dict(networks)
        else:
            self._networks = {name: models.pretrained(name) for name in networks}
        known = dict(embeddings or {})
        self._embeddings = {
            name: known[name] if name in known else embed(model, images, device)
            for name, model in self._networks.items()
        }
        for name, z in self._embeddings.items():
            if len(z) != len(images):
                raise DMLTeachError(f"embeddings of {name!r}: {len(z)} rows for {len(images)} images.")
        self._queries = pick_queries(images.labels, queries, seed) if isinstance(queries, int) else queries
        self._found = {
            name: nearest_others(z, self._queries.to(z.device), k) for name, z in self._embeddings.items()
        }
        super().__init__(data=self._recorded(question))
        self.set_trait("shown", list(self._networks)[:1] if shown is None else list(shown))
        if query is None:
            query = next(
                (case["query"] for case in self.data["cases"] if case["name"] != "right everywhere"), 0
            )
        self.view, self.query, self.copying, self.numbers = view, query, copying, numbers
        self.strokes = list(strokes)

    @property
    def neighbours(self) -> dict[str, dict[str, list]]:
        """Of each network: "rows" of the gallery, nearest first, their "labels" and "distances".

        Those of the chosen query, or of the drawn character; empty where nothing is drawn.
        """
        if self.view == "pick":
            found = {name: (d2[self.query], rows[self.query]) for name, (d2, rows) in self._found.items()}
        else:
            found = self._look_up(self.strokes)
        return {
            name: {
                "rows": rows.tolist(),
                "labels": self._images.labels[rows.cpu()].tolist(),
                "distances": d2.sqrt().tolist(),
            }
            for name, (d2, rows) in found.items()
        }

    def _look_up(self, strokes: Any) -> dict[str, tuple[Tensor, Tensor]]:
        """Squared distances and rows of the drawn character's neighbours, (k,) each, by network."""
        if not strokes:
            return {}
        drawing = draw_strokes(strokes)
        found = {}
        for name, model in self._networks.items():
            z = self._embeddings[name]
            d2, rows = nearest(embed_drawing(model, drawing).to(z.device), z, self._k)
            found[name] = d2[0], rows[0]
        return found

    @traitlets.observe("strokes")
    def _answer(self, change: Any = None) -> None:
        tiles = _Tiles(self._images)
        answer = self._drawn(self.strokes, tiles) if self.strokes else {}
        # With the strokes it belongs to: the reader may have drawn on meanwhile.
        self.answer = {"strokes": self.strokes, **answer, **(tiles.sheet() if self.strokes else {})}

    def _drawn(self, strokes: Any, tiles: "_Tiles") -> dict:
        found = self._look_up(strokes)
        tile = tiles.add(draw_strokes(strokes))
        return {"tile": tile, "found": {n: self._items(d2, rows, tiles) for n, (d2, rows) in found.items()}}

    def _items(self, d2: Tensor, rows: Tensor, tiles: "_Tiles") -> list[list]:
        """Each neighbour as [thumbnail, label, distance, row, name of its class]."""
        labels, names = self._images.labels, self._images.class_names
        return [
            [tiles.of(row), int(labels[row]), round(d, 4), row, _short(names[int(labels[row])])]
            for d, row in zip(d2.sqrt().tolist(), rows.tolist(), strict=True)
        ]

    def _recorded(self, question: str) -> dict:
        """What the page shows without asking the kernel."""
        labels, names, tiles = self._images.labels, self._images.class_names, _Tiles(self._images)
        queries, right = [], []
        for i, row in enumerate(self._queries.tolist()):
            label = int(labels[row])
            found = {n: self._items(d2[i], rows[i], tiles) for n, (d2, rows) in self._found.items()}
            queries.append(
                {"tile": tiles.of(row), "label": label, "name": _short(names[label]), "found": found}
            )
            right.append({name: items[0][1] == label for name, items in found.items()})
        draws = self._images.channels == 1
        examples = [
            {"name": name, "strokes": strokes, **self._drawn(strokes, tiles)}
            for name, strokes in (EXAMPLES.items() if draws else ())
        ]
        recall = {n: recall_at_k(z, labels, ks=(1,))[1] for n, z in self._embeddings.items()}
        return {
            "networks": [{"name": n, "label": LABELS.get(n, n), "recall": recall[n]} for n in self._networks],
            "queries": queries,
            "examples": examples,
            "cases": _cases(right),
            "question": question,
            "draws": draws,
            "pen": PEN,
            "pixels": SIDE,
            "most_points": MAX_POINTS,
            "gallery": [len(labels), self._images.num_classes],
            **tiles.sheet(),
        }

    @traitlets.validate("view")
    def _check_view(self, proposal: Any) -> str:
        one_of("view", proposal["value"], VIEWS)
        self._check_draws(proposal["value"] == "draw")
        return proposal["value"]

    @traitlets.validate("query")
    def _check_query(self, proposal: Any) -> int:
        if not 0 <= proposal["value"] < len(self._queries):
            raise DMLTeachError(f"query is {proposal['value']}; choose 0 to {len(self._queries) - 1}.")
        return proposal["value"]

    @traitlets.validate("shown")
    def _check_shown(self, proposal: Any) -> list[str]:
        for name in proposal["value"]:
            one_of("network", name, self._networks)
        return [name for name in self._networks if name in proposal["value"]]

    @traitlets.validate("strokes")
    def _check_strokes(self, proposal: Any) -> list:
        strokes = checked_strokes(proposal["value"])
        self._check_draws(bool(strokes))
        return strokes

    def _check_draws(self, drawing: bool) -> None:
        if drawing and self._images.channels != 1:
            raise DMLTeachError("a character can be drawn only where the gallery holds drawings.")

    def picture(self) -> tuple[str, str]:
        """The state as an SVG document, and what it shows in words."""
        row = int(self._queries[self.query])
        label: int | None = int(self._images.labels[row])
        name = _short(self._images.class_names[int(self._images.labels[row])])
        told, asked = f"query {self.query + 1}, {name}", self._images[row][0]
        if self.view == "draw":
            label = label if self.copying else None
            told, asked = "a drawn character", draw_strokes(self.strokes)
        found = {}
        for network, items in self.neighbours.items():
            if network in self.shown:
                names = [_short(self._images.class_names[c]) for c in items["labels"]]
                rights = [None if label is None else c == label for c in items["labels"]]
                pictures = [self._images[r][0] for r in items["rows"]]
                found[LABELS.get(network, network)] = list(zip(pictures, names, rights, strict=True))
        return drawing.draw(told, asked, found)


class _Tiles:
    """Thumbnails in the order they were asked for, each image of the gallery once."""

    def __init__(self, gallery: ImageDataset):
        self.gallery = gallery
        self.images: list[Tensor] = []
        self.places: dict[int, int] = {}

    def of(self, row: int) -> int:
        if row not in self.places:
            self.places[row] = self.add(self.gallery[row][0])
        return self.places[row]

    def add(self, image: Tensor) -> int:
        self.images.append(image)
        return len(self.images) - 1

    def sheet(self) -> dict:
        return sheet(self.images)


def _cases(right: list[dict[str, bool]]) -> list[dict]:
    """Telling situations among the queries, each with the first query that shows it.

    Args:
        right: of each query, whether the nearest neighbour is right, by network.
    """
    cases = []
    for name, holds in CASES.items():
        try:
            query = next((i for i, one in enumerate(right) if holds(one)), None)
        except KeyError:  # it tells of a network that is not here
            continue
        if query is not None:
            cases.append({"name": name, "query": query})
    return cases


def _short(name: str) -> str:
    return name.removeprefix("evaluation ")
