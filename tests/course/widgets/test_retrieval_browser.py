"""The retrieval browser in the kernel: neighbours are the library's, drawings become like Omniglot's."""

import base64
import io
import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from dmlteach import data, models
from dmlteach.course.widgets import RetrievalBrowser
from dmlteach.course.widgets.retrieval_browser.strokes import EXAMPLES, embed_drawing
from dmlteach.course.widgets.strokes import draw_strokes
from dmlteach.course.widgets.thumbnails import sheet
from dmlteach.data import ImageDataset
from dmlteach.data.cache import resize
from dmlteach.embeddings import embed
from dmlteach.errors import DMLTeachError
from dmlteach.metrics import recall_at_k

NETWORKS = ("untrained", "softmax", "sst")
ANGLE = [[[20.0, 20.0], [20.0, 80.0], [70.0, 80.0]]]


@pytest.fixture(scope="module")
def gallery():
    return data.load("omniglot", "test", classes=20)


@pytest.fixture(scope="module")
def embeddings(gallery):
    return {name: embed(models.pretrained(name), gallery, "cpu") for name in NETWORKS}


@pytest.fixture
def browser(gallery, embeddings):
    return RetrievalBrowser(gallery, NETWORKS, embeddings, queries=12)


def ranked(queries, z, without=None):
    """Rows by distance, in float64, without the queries' own rows."""
    d = torch.cdist(queries.double(), z.double())
    if without is not None:
        d[torch.arange(len(d)), without] = torch.inf
    return d.sort(1)


def pixels(address: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("L"))


# --- what is found


@pytest.mark.parametrize("name", NETWORKS)
def test_neighbours_of_the_listed_queries_are_the_nearest_others(browser, gallery, embeddings, name):
    z = embeddings[name]
    for i, query in enumerate(browser.data["queries"]):
        browser.query = i
        d, rows = ranked(z[browser._queries[i]][None], z, browser._queries[i : i + 1])
        found = browser.neighbours[name]
        assert found["rows"] == rows[0, :5].tolist()
        assert found["distances"] == pytest.approx(d[0, :5].tolist(), abs=1e-3)
        assert found["labels"] == gallery.labels[rows[0, :5]].tolist()
        shown = query["found"][name]
        assert [item[3] for item in shown] == found["rows"] and [item[1] for item in shown] == found["labels"]


@pytest.mark.parametrize("name", NETWORKS)
def test_neighbours_of_a_drawn_character_are_those_of_its_picture(browser, embeddings, name):
    browser.view, browser.strokes = "draw", ANGLE
    small = F.interpolate(draw_strokes(ANGLE)[None], size=(28, 28), mode="bilinear", antialias=True)
    model = models.pretrained(name)
    (mean,), (std,) = model.spec.mean, model.spec.std
    with torch.no_grad():
        z = model((small.float() / 255 - mean) / std)
    d, rows = ranked(z, embeddings[name])
    assert browser.neighbours[name]["rows"] == rows[0, :5].tolist()
    assert browser.neighbours[name]["distances"] == pytest.approx(d[0, :5].tolist(), abs=1e-3)


def test_a_drawing_of_the_data_set_gets_the_embedding_it_has_there(gallery, embeddings):
    model = models.pretrained("sst")
    for row in (0, 77, 399):
        torch.testing.assert_close(
            embed_drawing(model, gallery[row][0])[0], embeddings["sst"][row], atol=1e-4, rtol=0
        )


def test_a_message_from_the_figure_is_answered_with_the_strokes_it_belongs_to(browser):
    browser.set_state({"view": "draw", "strokes": [[[10, 10], [90, 90]]]})
    assert browser.answer["strokes"] == [[[10, 10], [90, 90]]]
    for name in NETWORKS:
        assert [item[3] for item in browser.answer["found"][name]] == browser.neighbours[name]["rows"]
    browser.set_state({"strokes": []})
    assert browser.answer == {"strokes": []} and browser.neighbours == {}


def test_networks_are_given_with_their_recall_in_this_gallery(browser, gallery, embeddings):
    for network in browser.data["networks"]:
        z = embeddings[network["name"]]
        assert network["recall"] == recall_at_k(z, gallery.labels, ks=(1,))[1]


def test_cases_lead_to_queries_of_which_they_are_true(browser):
    right = [
        {name: items[0][1] == query["label"] for name, items in query["found"].items()}
        for query in browser.data["queries"]
    ]
    cases = {case["name"]: right[case["query"]] for case in browser.data["cases"]}
    assert set(cases) >= {"right everywhere", "right only after training"}
    assert all(cases["right everywhere"].values())
    assert cases["right only after training"] == {"untrained": False, "softmax": True, "sst": True}
    assert browser.query == browser.data["cases"][0]["query"]  # the first picture already tells something


def test_without_embeddings_they_are_computed(gallery, embeddings):
    few = gallery.subset_classes(range(3))
    given = RetrievalBrowser(few, ("sst",), {"sst": embeddings["sst"][:60]}, queries=3)
    assert (
        RetrievalBrowser(few, ("sst",), queries=3).neighbours["sst"]["rows"]
        == given.neighbours["sst"]["rows"]
    )


# --- drawings and thumbnails


def outline_measure(drawing):
    """Ink per half the length of its outline: grows with the width of the pen."""
    ink = drawing[0] > 0
    outline = (ink[1:] != ink[:-1]).sum() + (ink[:, 1:] != ink[:, :-1]).sum()
    return (ink.sum() / (outline / 2)).item()


def test_the_pen_is_as_wide_as_that_of_omniglots_drawers(gallery):
    theirs = [outline_measure(gallery[i][0]) for i in range(0, 400, 7)]
    ours = [outline_measure(draw_strokes(strokes)) for strokes in EXAMPLES.values()]
    low, high = np.quantile(theirs, [0.1, 0.9])
    assert low < np.mean(ours) < high


def test_strokes_become_ink_where_they_are():
    drawing = draw_strokes([[[20, 30], [80, 30]], [[50, 90]]])
    assert drawing.shape == (1, 105, 105) and set(drawing.unique().tolist()) == {0, 255}
    ys, xs = (drawing[0] > 0).nonzero().T
    assert (drawing[0, 30, 20:81] == 255).all() and drawing[0, 90, 50] == 255
    assert abs(xs.min() - 17.5) <= 1 and abs(xs.max() - 82.5) <= 1  # half the pen beyond both ends
    assert drawing[0, 60].sum() == 0 and ys.max() <= 93


def test_thumbnails_are_the_images_dark_on_white(browser, gallery):
    picture, side, columns = (browser.data[key] for key in ("picture", "side", "columns"))
    sheet_pixels = pixels(picture)
    for i, query in enumerate(browser.data["queries"]):
        x, y = query["tile"] % columns * side, query["tile"] // columns * side
        tile = sheet_pixels[y : y + side, x : x + side].astype(int)
        image = gallery[int(browser._queries[i])][0]
        expected = 255 - resize(image[None], side, "square")[0, 0].numpy().astype(int)
        assert abs(tile - expected).max() <= 255 / 6 + 1  # four greys


def test_a_sheet_of_pictures_in_colour_keeps_its_colours():
    red = torch.zeros(3, 60, 80, dtype=torch.uint8)
    red[0] = 255
    made = sheet([red])
    colour = Image.open(io.BytesIO(base64.b64decode(made["picture"].partition(",")[2]))).getpixel((20, 20))
    assert colour[0] > 240 and max(colour[1:]) < 15


# --- states


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("view", "drawn", "did you mean 'draw'"),
        ("query", 12, "choose 0 to 11"),
        ("query", -1, "choose 0 to 11"),
        ("shown", ["softmx"], "did you mean 'softmax'"),
        ("strokes", [[[0, 105]]], "from 0 .* to 104"),
        ("strokes", [[[0, float("nan")]]], "from 0 .* to 104"),
        ("strokes", [[[0, 1, 2]]], "one list a stroke"),
        ("strokes", [[]], "one list a stroke"),
        ("strokes", "a circle", "one list a stroke"),
        ("strokes", [[[0, 0]] * 5001], "5,000 points"),
    ],
)
def test_a_state_that_cannot_be_is_refused_by_name(browser, gallery, embeddings, name, value, message):
    with pytest.raises(DMLTeachError, match=message):
        RetrievalBrowser(gallery, NETWORKS, embeddings, queries=12, **{name: value})
    before = getattr(browser, name)
    with pytest.raises(DMLTeachError, match=message):
        setattr(browser, name, value)
    assert getattr(browser, name) == before


def test_embeddings_of_other_images_are_refused(gallery, embeddings):
    with pytest.raises(DMLTeachError, match="399 rows for 400 images"):
        RetrievalBrowser(gallery, ("sst",), {"sst": embeddings["sst"][1:]})
    with pytest.raises(DMLTeachError, match="unknown shipped model"):
        RetrievalBrowser(gallery, ("sts",))


class Photographs:
    """Six pictures in colour of different sizes."""

    channels, fingerprint = 3, "six photographs"

    def __len__(self):
        return 6

    def read(self, rows, change=None):
        generator = torch.Generator().manual_seed(0)
        images = [torch.randint(0, 256, (1, 3, 20 + i, 30), generator=generator).byte() for i in range(6)]
        return [change(images[i]) if change else images[i] for i in rows.tolist()]


def test_pictures_in_colour_are_browsed_but_not_drawn():
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    photographs = ImageDataset("mine", "test", Photographs(), labels, ["gull", "tern"], shareable=True)
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    network = {"mine": models.create("omniglot_cnn", 4)}
    browser = RetrievalBrowser(photographs, network, {"mine": z}, queries=2, k=2)
    assert browser.data["draws"] is False and browser.data["examples"] == []
    assert browser.data["picture"].startswith("data:image/jpeg")
    with pytest.raises(DMLTeachError, match="holds drawings"):
        browser.view = "draw"
    with pytest.raises(DMLTeachError, match="holds drawings"):
        browser.strokes = ANGLE


# --- the output


def test_output_holds_the_widget_and_html_that_loads_nothing(browser):
    output, _ = browser._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in output
    page = output["text/html"]
    assert not re.search(r"""(src|href)=["'](?!data:)|url\(["']?http|\bimport\b""", page)
    assert RetrievalBrowser._esm in page
    state = json.loads(
        re.search(r'data-state="([^"]+)"', page)[1].replace("&quot;", '"').replace("&#x27;", "'")
    )
    assert state["shown"] == ["untrained"] and "kernel" not in state


def test_the_picture_says_what_it_shows(browser, gallery):
    browser.query, browser.shown = 3, ["sst", "untrained"]
    page = browser._repr_mimebundle_()[0]["text/html"]
    alt = re.search(r'alt="([^"]+)"', page)[1]
    right = sum(c == int(gallery.labels[browser._queries[3]]) for c in browser.neighbours["sst"]["labels"])
    assert alt.startswith("Retrieval browser: query 4, character ")
    assert f"Nearest under SST ({right} of 5 right): character " in alt
    assert alt.index("under untrained") < alt.index("under SST")


def test_module_and_data_are_small(gallery, embeddings):
    browser = RetrievalBrowser(gallery, NETWORKS, embeddings, queries=20, k=6)
    assert len(RetrievalBrowser._esm.encode()) <= 40_000
    assert len(json.dumps(browser.data)) <= 500_000
