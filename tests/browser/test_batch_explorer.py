"""The batch explorer on a page without a kernel: opened from a file, with the network off."""

import json

import pytest

from dmlteach.course.widgets import BatchExplorer
from dmlteach.course.widgets.batch_explorer.batches import KINDS, SHOWN, plans
from tests.browser.waiting import painted

ROOT = ".dml-batch_explorer"
LINES = {"positives": "path.dml-positives", "confusable": "path.dml-confusable"}


@pytest.fixture(scope="module")
def planned():
    return plans("sst", 32, 0)[1]


def rows(page) -> list[int]:
    """Drawings shown, as rows of the recording."""
    return page.eval_on_selector_all("[data-drawing]", "nodes => nodes.map(n => Number(n.dataset.row))")


def counts(page) -> dict[str, float]:
    """Numbers of the batch shown."""
    return page.eval_on_selector_all(
        "[data-count]",
        "nodes => Object.fromEntries(nodes.map(n => [n.dataset.count, Number(n.dataset.value)]))",
    )


def number_of_lines(page, kind: str) -> int:
    return (page.get_attribute(LINES[kind], "d") or "").count("M")


def show(page, sampler: str, epoch: int) -> None:
    page.click(f"[data-sampler={sampler}]")
    page.locator("input[type=range]").fill(str(epoch))
    page.wait_for_selector(f"[data-sampler={sampler}][aria-pressed=true]")
    page.wait_for_function(f"document.querySelector('{ROOT} output').textContent === '{epoch}'")


def assert_shows(page, look) -> None:
    """Drawings, numbers and lines are those that the library gives."""
    assert rows(page) == look.rows.tolist()
    shown = counts(page)
    for key, value in shown.items():
        assert value == pytest.approx(getattr(look.contents, key), rel=1e-6), key
    assert set(shown) == {"confusable", "alone", "active", "hard", "sst", "ratio"}
    assert number_of_lines(page, "confusable") == look.contents.confusable
    assert number_of_lines(page, "positives") == look.contents.anchors - look.contents.alone
    assert page.locator("[data-alone=true] [data-drawing]").count() == look.contents.alone
    assert page.locator("path.dml-alone").count() == look.contents.alone
    assert page.locator(".dml-character").count() == look.contents.characters


@pytest.mark.parametrize("sampler", KINDS)
def test_what_it_shows_is_what_the_library_computes(from_disk, planned, sampler):
    page = from_disk(BatchExplorer())
    for epoch in (0, 4, 12):
        show(page, sampler, epoch)
        looks = planned[epoch][sampler].looks
        for look in looks:
            assert_shows(page, look)
            page.click("button[aria-label='Next batch']")
            painted(page)
        assert_shows(page, looks[0])  # after the last comes the first


def test_the_question_is_about_the_batch_that_is_shown(from_disk):
    page = from_disk(BatchExplorer())
    asked = []
    for sampler, epoch in (("random", 0), ("local", 0), ("local", 10)):
        show(page, sampler, epoch)
        asked.append(page.inner_text(".dml-question"))
    assert "opens with a random batch" in asked[0]
    assert "after 10 epochs, will such a batch" in asked[1]
    assert "at this epoch, which sampler" in asked[2]


def test_the_table_holds_the_means_of_all_samplers(from_disk, planned):
    page = from_disk(BatchExplorer(epoch=10, numbers=True))
    for sampler in KINDS:
        expected = planned[10][sampler].epoch
        cells = page.locator(f"[data-row-of={sampler}] td")
        shown = [float(cells.nth(i).get_attribute("data-value")) for i in range(cells.count())]
        assert shown == pytest.approx(list(expected), abs=1e-5)


def test_points_are_where_the_recording_has_them(from_disk):
    page = from_disk(BatchExplorer(sampler="local", epoch=6))
    z = plans("sst", 32, 0)[0].embeddings[6][rows(page)][:, :2]
    places = page.eval_on_selector_all(
        "[data-member]", "nodes => nodes.map(n => n.getAttribute('transform').match(/[\\d.]+/g).map(Number))"
    )
    x, y = zip(*places, strict=True)
    unit = (x[0] - x[1]) / (z[0, 0] - z[1, 0]).item()
    for i in range(1, len(z)):
        assert x[i] - x[0] == pytest.approx(unit * (z[i, 0] - z[0, 0]).item(), abs=0.05)
        assert y[i] - y[0] == pytest.approx(-unit * (z[i, 1] - z[0, 1]).item(), abs=0.05)


def test_a_chosen_anchor_shows_its_own_pairs(from_disk, planned):
    page = from_disk(BatchExplorer(sampler="local"))
    look = planned[0]["local"].looks[0]
    anchor = int(look.confusable.sum(1).argmax())
    page.click(f"[data-drawing='{anchor}']")
    page.wait_for_selector(f"[data-drawing='{anchor}'][data-role=a][aria-pressed=true]")
    confusable = look.confusable[anchor].nonzero()[:, 0].tolist()
    targets = [j for j in look.targets[anchor].tolist() if j >= 0]
    for role, places in (("n", confusable), ("p", targets)):
        for kind in ("drawing", "member"):
            found = page.eval_on_selector_all(
                f"[data-{kind}][data-role={role}]", f"nodes => nodes.map(n => Number(n.dataset.{kind}))"
            )
            assert sorted(found) == sorted(places)
    assert number_of_lines(page, "confusable") == len(confusable)
    assert number_of_lines(page, "positives") == len(targets)
    active = int(look.active[anchor])
    said = f"{len(confusable)} confusable drawings, {active} active triplet"
    page.wait_for_function(
        "said => document.querySelector('.dml-status').textContent.includes(said)", arg=said
    )
    page.click(f"[data-drawing='{anchor}']")
    page.wait_for_selector(f"[data-drawing='{anchor}'][data-role='']")
    assert number_of_lines(page, "confusable") == look.contents.confusable


@pytest.mark.parametrize("anchor", [None, 0])
def test_nothing_of_the_map_covers_the_lines_between_confusable_drawings(from_disk, planned, anchor):
    page = from_disk(BatchExplorer(sampler="local", epoch=10, anchor=anchor))
    svg = "document.querySelector('[data-member]').closest('svg')"
    assert page.evaluate(f"{svg}.lastElementChild.getAttribute('class')") == "dml-confusable"
    ringed = page.eval_on_selector_all(
        "[data-ringed=true]", "nodes => nodes.map(node => Number(node.dataset.member))"
    )
    confusable = planned[10]["local"].looks[0].confusable.any(0).nonzero().flatten().tolist()
    assert sorted(ringed) == ([] if anchor is not None else sorted({*confusable, *_other_ends(planned)}))


def _other_ends(planned) -> list[int]:
    return planned[10]["local"].looks[0].confusable.any(1).nonzero().flatten().tolist()


def test_a_point_of_the_map_can_be_chosen_by_mouse(from_disk):
    page = from_disk(BatchExplorer())
    page.locator("[data-member='0']").dispatch_event("click")
    page.wait_for_selector("[data-drawing='0'][data-role=a]")


def test_the_takeaway_is_reached_by_keyboard_alone(from_disk, planned):
    page = from_disk(BatchExplorer())

    def tab_to(selector: str) -> None:
        for _ in range(60):
            if page.evaluate(f"document.activeElement.matches(`{selector}`)"):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"Tab does not reach {selector}")

    tab_to("[data-sampler=local]")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-sampler=local][aria-pressed=true]")
    assert_shows(page, planned[0]["local"].looks[0])

    tab_to("[data-drawing='0']")
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "End", "Home", "ArrowRight"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-drawing='1'][data-role=a]")

    tab_to("input[type=range]")  # one Tab leaves the drawings
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector("input[aria-valuetext='epoch 10']")
    assert_shows(page, planned[10]["local"].looks[0])
    dropped = planned[10]["local"].epoch.dropped
    page.wait_for_function(
        "said => document.querySelector('.dml-status').textContent.includes(said)",
        arg=f"{dropped} neighbourhoods without a triplet dropped",
    )

    tab_to("details:last-child > summary")
    page.keyboard.press("Enter")
    assert page.locator("details[open] p", has_text="a neighbourhood goes on finding them").is_visible()
    page.keyboard.press("Escape")
    assert page.evaluate(f"document.activeElement.matches('{ROOT}')")


def test_the_named_states_and_reset(from_disk, planned):
    page = from_disk(BatchExplorer(sampler="class_balanced", epoch=2, batch=3))
    page.get_by_role("button", name="neighbourhood, epoch 10").click()
    page.wait_for_selector("input[aria-valuetext='epoch 10']")
    assert_shows(page, planned[10]["local"].looks[0])
    page.get_by_role("button", name="most left alone").click()
    page.wait_for_selector("input[aria-valuetext='epoch 0, untrained']")
    shares = [look.contents.alone / look.contents.anchors for look in planned[0]["local"].looks]
    assert counts(page)["alone"] / len(rows(page)) == pytest.approx(max(shares))
    page.get_by_role("button", name="Reset").click()
    page.wait_for_selector("input[aria-valuetext='epoch 2']")
    assert_shows(page, planned[2]["class_balanced"].looks[3])


def test_a_batch_beyond_the_last_shows_the_last(from_disk):
    looks = plans("softmax", 32, 0)[1][10]["local"].looks
    assert len(looks) < SHOWN
    page = from_disk(BatchExplorer(recording="softmax", sampler="local", epoch=10, batch=SHOWN - 1))
    assert_shows(page, looks[-1])


def test_nothing_moves_by_itself_and_play_walks_through_the_epochs(from_disk):
    page = from_disk(BatchExplorer(epoch=10, sampler="random"))
    first = rows(page)
    page.wait_for_timeout(1100)
    assert rows(page) == first
    page.click("button:text-is('Play')")
    page.wait_for_selector("input[aria-valuetext='epoch 12']", timeout=60_000)
    page.wait_for_selector("button:text-is('Play')", timeout=60_000)  # stops at the end


def test_whatever_has_the_focus_keeps_its_keys_from_jupyter(from_disk):
    page = from_disk(BatchExplorer(numbers=True))
    focusable = f"{ROOT}, {ROOT} :is([tabindex], button, input, select, summary)"
    unmarked = f"[...document.querySelectorAll('{focusable}')].filter(e => !e.dataset.lmSuppressShortcuts)"
    assert page.locator(focusable).count() > 40
    assert page.evaluate(f"{unmarked}.map(element => element.outerHTML)") == []


def test_names_say_what_a_drawing_is(from_disk, planned):
    page = from_disk(BatchExplorer(sampler="random", epoch=0))
    look = planned[0]["random"].looks[0]
    names = page.eval_on_selector_all("[data-drawing]", "nodes => nodes.map(n => n.ariaLabel)")
    assert len(set(names)) == len(names)
    alone = (look.targets < 0).all(1).tolist()
    assert [name.endswith("without a positive") for name in names] == alone
    assert "confusable pairs" in page.get_attribute(f"{ROOT} svg[role=img]", "aria-label")


def test_it_fits_a_phone_and_reacts_to_touch(browser, tmp_path, planned):
    body = BatchExplorer()._repr_mimebundle_()[0]["text/html"]
    path = tmp_path / "page.html"
    head = '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    path.write_text(f"{head}<body>{body}</body>", encoding="utf-8")
    phone = browser.new_context(
        viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, offline=True
    )
    page = phone.new_page()
    page.goto(path.as_uri())
    page.tap("[data-sampler=local]")
    page.wait_for_selector("[data-sampler=local][aria-pressed=true]")
    assert_shows(page, planned[0]["local"].looks[0])
    page.tap("[data-drawing='2']")
    page.wait_for_selector("[data-drawing='2'][data-role=a]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for selector, least in (("[data-drawing]", 44), (f"{ROOT} button", 24)):
        sizes = page.eval_on_selector_all(
            selector, "nodes => nodes.map(n => Math.min(n.offsetWidth, n.offsetHeight))"
        )
        assert min(sizes) >= least, json.dumps(sizes)
    phone.close()


@pytest.mark.parametrize("sampler", ["random", "class_balanced", "local"])
def test_it_fits_a_screen_and_a_phone(fits, sampler):
    fits(lambda: BatchExplorer(sampler=sampler), ROOT)
