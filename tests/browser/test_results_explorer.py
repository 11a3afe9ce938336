"""The results explorer on a page without a kernel: opened from a file, with the network off."""

import pytest

from dmlteach.course.widgets import ResultsExplorer
from dmlteach.course.widgets.results_explorer import rows
from tests.browser.told import status

ROOT = ".dml-results_explorer"
ENTRIES = f"{ROOT} [data-entry]"


def shown(page) -> list[tuple[str, float, float]]:
    """Names, means and half widths, in the order of the list; an endless half width is infinite."""
    found = page.eval_on_selector_all(
        ENTRIES, "all => all.map(e => [e.dataset.entry, e.dataset.mean, e.dataset.half])"
    )
    return [(name, float(mean), float(half.replace("Infinity", "inf"))) for name, mean, half in found]


def assert_shows(page, view: str, **filters) -> None:
    """The list is the one that Python ranks: names, order, means, intervals."""
    expected = [(entry.name, *entry.mean()) for entry in ResultsExplorer(view, filters).ranking]
    first = f"{ROOT} li:first-child [data-entry={_quoted(expected[0][0])}]"
    page.wait_for_selector(first)
    page.wait_for_function(f"document.querySelectorAll('{ENTRIES}').length === {len(expected)}")
    given = shown(page)
    assert [name for name, *_ in given] == [name for name, *_ in expected]
    for (_, mean, half), (_, wanted, width) in zip(given, expected, strict=True):
        assert (mean, half) == pytest.approx((wanted, width), abs=1e-5)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '\\"') + '"'


def press(page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def test_every_named_state_shows_what_python_ranks(from_disk):
    page = from_disk(ResultsExplorer())
    assert_shows(page, "final")
    before = [entry.name for entry in ResultsExplorer().ranking]
    for seed in (0, 1):
        press(page, "one seed only")
        assert_shows(page, "final", seed=seed)
        after = [entry.name for entry in ResultsExplorer(filters={"seed": seed}).ranking]
        moved = sum(a != b for a, b in zip(before[:10], after, strict=False))
        status(page, f"By seed {seed} alone, {moved} of the first 10 stand in another place")
    press(page, "each its best rate")
    assert_shows(page, "tuning")
    press(page, "one rate for all")
    page.wait_for_selector("[data-filter=rate] option:checked:not([value=best])", state="attached")
    assert_shows(page, "tuning", rate=page.input_value("[data-filter=rate]"))
    press(page, "published, all backbones")
    assert_shows(page, "published")
    press(page, "published, one backbone")
    page.wait_for_function("document.querySelector('[data-filter=dim]').value !== 'all'")
    chosen = {name: page.input_value(f"[data-filter={name}]") for name in ("backbone", "dim")}
    assert_shows(page, "published", **chosen)
    press(page, "Reset")
    assert_shows(page, "final")


def test_filters_change_the_ranking_and_all_their_values_are_those_of_the_file(from_disk):
    page = from_disk(ResultsExplorer())
    for name in ("sampler", "seed"):
        values = page.eval_on_selector_all(f"[data-filter={name}] option", "all => all.map(o => o.value)")
        assert values == rows.options("final", name, ResultsExplorer().filters)
    for sampler in ("all", "local"):
        page.select_option("[data-filter=sampler]", sampler)
        assert_shows(page, "final", sampler=sampler)
    page.select_option("[data-filter=seed]", "2")
    assert_shows(page, "final", sampler="local", seed=2)
    page.click("[data-view=published]")
    for dataset in ("cars196", "sop"):
        page.select_option("[data-filter=dataset]", dataset)
        assert_shows(page, "published", dataset=dataset)


def test_two_are_compared_seed_by_seed_by_mouse_and_by_keyboard(from_disk):
    page = from_disk(ResultsExplorer())
    press(page, "the first two")
    a, b = (entry.name for entry in ResultsExplorer().ranking[:2])
    page.wait_for_selector(f"[data-letter=B][data-entry={_quoted(b)}]")
    assert_judges(page, a, b)

    press(page, "Clear A and B")
    page.wait_for_function("!document.querySelector('[aria-pressed=true][data-entry]')")
    page.focus(f"{ROOT} li:first-child [data-entry]")
    for key in (
        "ArrowDown",
        "End",
        "ArrowUp",
        "Home",
        "ArrowDown",
        "Enter",
        "ArrowDown",
        "ArrowDown",
        "Enter",
    ):
        page.keyboard.press(key)
    one, other = (ResultsExplorer().ranking[i].name for i in (1, 3))
    page.wait_for_selector(f"[data-letter=B][data-entry={_quoted(other)}]")
    assert page.evaluate("document.activeElement.dataset.entry") == other
    assert_judges(page, one, other)
    assert "chosen as B" in page.get_attribute(f"[data-entry={_quoted(other)}]", "aria-label")

    press(page, "published")
    page.locator(f"{ROOT} [data-entry]").nth(0).click()
    page.locator(f"{ROOT} [data-entry]").nth(2).click()
    status(page, "They differ in backbone")
    status(page, "no interval")


def assert_judges(page, a: str, b: str) -> None:
    """The verdict in words is that of the library's difference."""
    found = ResultsExplorer(a=a, b=b).difference
    assert found is not None
    words = "It excludes 0" if found.is_told else "it cannot be told which is better"
    page.wait_for_function(
        "words => document.querySelector('[data-verdict]').textContent.includes(words)", arg=words
    )
    said = page.inner_text("[data-verdict]").replace("−", "-")
    assert f"{100 * found.mean:+.1f} points" in said
    assert page.locator("[data-pair]").count() == found.seeds


def test_the_takeaway_is_reached_by_keyboard_and_keys_stay_in_the_figure(from_disk):
    page = from_disk(ResultsExplorer(numbers=True))
    focusable = f"{ROOT}, {ROOT} :is([tabindex], button, input, select, summary)"
    unmarked = f"[...document.querySelectorAll('{focusable}')].filter(e => !e.dataset.lmSuppressShortcuts)"
    assert page.locator(focusable).count() > 30
    assert page.evaluate(f"{unmarked}.map(element => element.outerHTML)") == []
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Takeaway":
            break
    page.keyboard.press("Enter")
    assert page.get_by_text("A place in a ranking is worth what").is_visible()
    page.keyboard.press("Escape")
    assert page.evaluate(f"document.activeElement.matches('{ROOT}')")


def test_it_fits_a_phone_and_answers_to_touch(from_disk):
    page = from_disk(ResultsExplorer(), size=(390, 780), has_touch=True, is_mobile=True)
    for view in rows.VIEWS:
        page.tap(f"[data-view={view}]")
        assert_shows(page, view)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.tap(f"{ROOT} li:first-child [data-entry]")
    page.wait_for_selector("[data-letter=A]")
    for control in page.locator(f"{ROOT} :is(button, select, summary)").all():
        if control.is_visible():
            assert control.bounding_box()["height"] >= 44


def test_in_the_column_of_the_site_it_is_seen_as_a_whole(from_disk):
    page = from_disk(ResultsExplorer(), size=(1280, 900))
    page.evaluate("document.body.style.width = '736px'")
    box = f"document.querySelector('{ROOT}').getBoundingClientRect()"
    page.wait_for_function(f"{box}.width > 700 && {box}.width <= 736 && {box}.height <= 700")
