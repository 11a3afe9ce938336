"""The network in the page: its embeddings and neighbors are those of the kernel's rounded network."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from dmlteach.course import widgets
from dmlteach.course.widgets.draw_character.measured import agreement, found, right
from dmlteach.course.widgets.draw_character.packing import packed, script
from dmlteach.course.widgets.draw_character.search import FOUND, Search
from dmlteach.course.widgets.draw_character.traced import traced
from dmlteach.course.widgets.strokes import draw_strokes, shrink
from dmlteach.models import pretrained

FOLDER = Path(widgets.__file__).parent
SOURCE = "\n".join((FOLDER / name).read_text("utf-8") for name in ("strokes.js", "draw_character/network.js"))
ANSWER = """([source, script, sets, k]) => {
    new Function(script)();
    const page = new Function(source + "; return { Search, shrink, drawStrokes }")();
    const search = new page.Search(globalThis.dmlteachDrawCharacter);
    const answers = sets.map((strokes) => ({
        nearest: search.nearest(strokes, k),
        embedding: Array.from(search.network.embed(page.shrink(page.drawStrokes(strokes)))),
    }));
    return { answers, gallery: Array.from(search.gallery) };
}"""


@pytest.fixture(scope="module")
def answered(browser):
    """What the page finds for the traced drawings."""
    page = browser.new_page()
    told = page.evaluate(ANSWER, [SOURCE, script(), [one.strokes for one in traced()], FOUND])
    page.close()
    return told


@pytest.fixture(scope="module")
def drawings():
    return torch.stack([draw_strokes(one.strokes) for one in traced()])


def test_an_embedding_of_the_page_is_torchs_of_the_weights_in_the_script_to_rounding(answered, drawings):
    model = pretrained("sst").double()
    for name, parameter in model.named_parameters():
        given = packed()["network"]["tensors"][name]
        if isinstance(given, dict):
            scale = np.frombuffer(base64.b64decode(given["scale"]), "<f4").astype(np.float64)
            whole = np.frombuffer(base64.b64decode(given["whole"]), np.int8).reshape(len(scale), -1)
            parameter.data = torch.from_numpy(whole * scale[:, None]).view(parameter.shape)
    with torch.no_grad():
        z = model((shrink(drawings).double() / 255 - 0.08) / 0.25)
    ours = torch.tensor([one["embedding"] for one in answered["answers"]], dtype=torch.float64)
    assert (ours - z).norm(dim=1).max() < 1e-5 * z.norm(dim=1).mean()


def test_kernel_and_page_have_the_same_embeddings_and_gallery(answered, drawings):
    search = Search()
    ours = torch.tensor([one["embedding"] for one in answered["answers"]])
    assert (ours - search.embed(drawings)).norm(dim=1).max() < 1e-5 * ours.norm(dim=1).mean()
    assert torch.tensor(answered["gallery"]).view(659, -1).equal(search.gallery)


def test_neighbors_of_the_page_are_those_of_brute_force_and_of_the_kernel(answered):
    gallery = torch.tensor(answered["gallery"], dtype=torch.float64).view(659, -1)
    for one in answered["answers"]:
        d = (gallery - torch.tensor(one["embedding"], dtype=torch.float64)).square().sum(1).sqrt()
        assert [n["character"] for n in one["nearest"]] == d.argsort()[:FOUND].tolist()
        assert [n["distance"] for n in one["nearest"]] == pytest.approx(
            d.sort()[0][:FOUND].tolist(), abs=1e-6
        )
    theirs = torch.tensor([[n["character"] for n in one["nearest"]] for one in answered["answers"]])
    same = agreement(theirs, found())
    print(f"page and kernel: {same}")
    assert same["four"] >= 0.99 and same["first"] >= 0.95
    assert right(theirs) == pytest.approx(right(found()), abs=0.01)


def test_similarity_is_1_at_the_same_point_and_0_at_the_usual_distance_of_two_characters(answered):
    search = Search()
    z = search.gallery.double()
    others = torch.cdist(z, z)[~torch.eye(659, dtype=torch.bool)].mean().item()
    for one in answered["answers"][:20]:
        for neighbor in one["nearest"]:
            assert neighbor["similarity"] == pytest.approx(
                max(0, 1 - neighbor["distance"] / others), abs=1e-4
            )


def test_the_script_is_as_small_as_promised():
    network = packed()["network"]
    tensors = network["tensors"].values()
    texts = [text for given in tensors for text in (given.values() if isinstance(given, dict) else [given])]
    assert sum(len(base64.b64decode(text)) for text in texts) <= 400_000
    assert len(json.dumps(network)) <= 530_000
    assert len(script()) <= 800_000
