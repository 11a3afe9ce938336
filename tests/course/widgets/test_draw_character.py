"""Draw a character, in the kernel: numbers of eight bits, traced drawings, and what is claimed of them."""

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation, label

from dmlteach import data, models
from dmlteach.course.widgets import DrawCharacter
from dmlteach.course.widgets.draw_character.measured import agreement, found, measured, right
from dmlteach.course.widgets.draw_character.packing import SCRIPT, packed
from dmlteach.course.widgets.draw_character.record import as_text, chosen, trace_all
from dmlteach.course.widgets.draw_character.rounding import round_model, round_rows, rounded_weights
from dmlteach.course.widgets.draw_character.search import Search, gallery_drawings
from dmlteach.course.widgets.draw_character.traced import FILE, traced
from dmlteach.course.widgets.draw_character.tracing import thinned, trace
from dmlteach.course.widgets.strokes import draw_strokes
from dmlteach.data.cache import resize
from dmlteach.embeddings import embed
from dmlteach.errors import DMLTeachError

# --- numbers in eight bits


def test_a_rounded_number_is_at_most_half_a_step_away_and_uses_all_steps():
    table = (
        torch.randn(9, 4, 3, generator=torch.Generator().manual_seed(0))
        * torch.logspace(-3, 3, 9)[:, None, None]
    )
    rounded = round_rows(table)
    assert rounded.whole.dtype == torch.int8
    assert rounded.whole.flatten(1).abs().amax(1).tolist() == [127] * 9
    steps = (table.double().flatten(1).abs().amax(1) / 127)[:, None, None]
    assert ((rounded.values.double() - table).abs() <= 0.5001 * steps).all()


def test_a_row_of_zeros_stays_zero():
    assert round_rows(torch.zeros(2, 5)).values.equal(torch.zeros(2, 5))


def test_a_rounded_network_has_rounded_weights_and_the_same_norms_and_leaves_the_shipped_one():
    shipped = models.pretrained("sst")
    rounded, again = round_model(shipped), models.pretrained("sst")
    names = set(rounded_weights(shipped))
    assert len(names) == 5 and sum(p.numel() for p in shipped.parameters()) == 388_192
    for name, value in rounded.state_dict().items():
        assert shipped.state_dict()[name].equal(again.state_dict()[name])
        assert value.equal(shipped.state_dict()[name]) == (name not in names)
        if name in names:
            assert max(len(row.unique()) for row in value) <= 255


# --- traced drawings


def test_the_committed_strokes_are_those_that_tracing_gives():
    assert FILE.read_text(encoding="utf-8") == as_text(trace_all())


def test_two_hundred_different_characters_are_traced_and_none_from_the_gallerys_drawer():
    characters, drawers = chosen()
    assert len(set(characters.tolist())) == len(traced()) == 200
    assert drawers.min() >= 1 and drawers.max() <= 19
    assert [one.character for one in traced()] == characters.tolist()


def test_thinned_ink_is_thin_and_as_connected_as_before():
    drawings = torch.cat(data.load("omniglot", "test").source.read(torch.arange(5, 13180, 439)))
    for drawing in drawings[:, 0].numpy() > 0:
        thin = thinned(drawing)
        assert not (thin & ~drawing).any()
        assert label(thin, np.ones((3, 3)))[1] == label(drawing, np.ones((3, 3)))[1]
        blocks = thin[1:, 1:] & thin[1:, :-1] & thin[:-1, 1:] & thin[:-1, :-1]
        assert blocks.sum() <= 2  # where lines cross


def test_strokes_run_along_the_middle_of_the_ink_and_cover_it():
    source, missed = data.load("omniglot", "test").source, []
    for one in traced():
        (drawing,) = source.read(torch.tensor([one.character * 20 + one.drawer]))
        ink = drawing[0, 0].numpy() > 0
        assert all(ink[y, x] for stroke in one.strokes for x, y in stroke)
        redrawn = draw_strokes(one.strokes)[0].numpy() > 0
        missed.append((ink & ~binary_dilation(redrawn, iterations=2)).sum() / ink.sum())
    assert np.mean(missed) < 0.01 and max(missed) < 0.1


def test_a_cross_is_traced_as_straight_lines_and_the_first_goes_through():
    drawing = draw_strokes([[[20, 20], [80, 80]], [[80, 20], [20, 80]]])
    long = [stroke for stroke in trace(drawing) if len(stroke) > 8]
    assert np.array(long[0])[[0, -1]].tolist() == [[20, 20], [80, 80]]
    assert 2 <= len(long) <= 3  # the other one may end where it meets the first
    for stroke in long:
        slope, offset = np.polyfit(*np.array(stroke).T, 1)
        assert abs(abs(slope) - 1) < 0.1
        assert all(abs(slope * x + offset - y) < 3 for x, y in stroke)


# --- what is found


def test_the_gallery_is_the_first_drawing_of_each_character_embedded_as_for_every_test():
    search = Search(rounded=False)
    test = data.load("omniglot", "test")
    rows = torch.arange(0, 13180, 20)
    assert test.labels[rows].tolist() == list(range(659))
    assert gallery_drawings().equal(torch.cat(test.source.read(rows)))
    theirs = embed(models.pretrained("sst"), test.subset_classes(range(30)), "cpu")[::20]
    torch.testing.assert_close(search.gallery[:30], theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("rounded", [False, True])
def test_neighbors_are_those_of_brute_force_in_float64(rounded):
    search = Search(rounded=rounded)
    strokes = traced()[3].strokes
    small = resize(draw_strokes(strokes)[None], 28, "square")
    with torch.no_grad():
        z = search.model((small.float() / 255 - 0.08) / 0.25)[0]
    d, order = (search.gallery.double() - z.double()).square().sum(1).sqrt().sort()
    nearest = search.nearest(strokes)
    assert [n.character for n in nearest] == order[:5].tolist()
    assert [n.distance for n in nearest] == pytest.approx(d[:5].tolist(), abs=1e-3)


def test_a_drawing_of_the_gallery_finds_itself():
    distances, characters = Search().ranked(gallery_drawings())
    assert characters[:, 0].tolist() == list(range(659))
    assert distances[:, 0].max() < 0.2  # the rounding of the gallery


def test_eight_bits_find_what_fp32_finds():
    same = agreement(found(), found(rounded=False))
    assert same["first"] >= 0.95 and same["four"] >= 0.99
    assert measured()["full"] == same


def test_agreement_counts_the_first_and_four_of_five():
    some = torch.tensor([[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]])
    others = torch.tensor([[0, 1, 2, 3, 4], [1, 0, 2, 3, 9], [0, 1, 2, 8, 9]])
    assert agreement(some, others) == pytest.approx({"first": 2 / 3, "four": 2 / 3})


def test_the_right_character_is_found_far_more_often_than_by_the_untrained_network():
    told = measured()
    assert told["drawings"] == 200
    assert told["network"] == right(found())
    hits = {
        name: (characters == torch.tensor([one.character for one in traced()])[:, None])
        for name, characters in (("sst", found()), ("untrained", found("untrained", rounded=False)))
    }
    for column, key in ((slice(0, 1), "first"), (slice(0, 5), "among")):
        trained, untrained = (hits[name][:, column].any(1).double() for name in hits)
        assert told["network"][key] == trained.mean() and told["baseline"][key] == untrained.mean()
        gain = trained - untrained  # paired: the same drawings
        assert gain.mean() - 1.96 * gain.std() / 200**0.5 > 0.25


# --- the widget


def test_a_notebooks_figure_gets_the_network_when_it_asks_and_not_before():
    figure = DrawCharacter()
    assert figure.packed == {}
    figure.set_state({"asked": True})
    assert figure.packed == packed() and len(figure.packed["gallery"]["whole"]) > 80_000


def test_a_drawing_set_from_python_is_looked_up_and_shown():
    figure = DrawCharacter(traced()[0].strokes)
    assert figure.neighbors == Search().nearest(traced()[0].strokes)
    picture, told = figure.picture()
    names = [f"no. {one.character + 1}<" for one in figure.neighbors]
    assert [name in picture for name in names] == [True] * 5
    assert f"{names[0][4:-1]} (similarity {figure.neighbors[0].similarity:.0%})" in told
    figure.strokes = []
    assert figure.neighbors == []
    assert (
        f"for instance character {traced()[0].character + 1}, drawn by another person" in figure.picture()[1]
    )


@pytest.mark.parametrize("strokes", [[[[0, 105]]], [[[1]]], "line", [[]]])
def test_strokes_beyond_the_pad_are_one_sentence(strokes):
    with pytest.raises(DMLTeachError, match=r"give \[\[\[x, y\], …\], …\].* from 0 .* to 104"):
        DrawCharacter(strokes)


def test_the_html_for_pages_without_a_kernel_holds_no_weights():
    html = DrawCharacter(script=SCRIPT)._repr_mimebundle_()[0]["text/html"]
    assert len(html) < 80_000 and SCRIPT in html
