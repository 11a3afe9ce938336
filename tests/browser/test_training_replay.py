"""The training replay on a page without a kernel: opened from a file, with the network off."""

import pytest

from dmlteach.course.recordings import replay
from dmlteach.course.widgets import TrainingReplay
from dmlteach.course.widgets.training_replay.widget import curves
from tests.browser.waiting import painted

LAST = 24
CHOSEN = "select => select.selectedOptions[0].text"
SLIDER = "input[aria-label=epoch]"


class WithKernel(TrainingReplay):
    """Its page has the controls that a notebook has."""

    saved = (*TrainingReplay.saved, "settings", "training")


def says(page, words: str) -> None:
    page.wait_for_function("w => document.querySelector('.dml-status').textContent.includes(w)", arg=words)


def marker(page, side: str, key: str = "loss") -> tuple[float, float]:
    dot = page.locator(f"[data-curve={key}][data-of={side}] .dml-dot")
    return float(dot.get_attribute("cx")), float(dot.get_attribute("cy"))


def drawn(page, side: str, key: str) -> int:
    """At how many epochs a curve is drawn."""
    path = page.get_attribute(f"[data-curve={key}][data-of={side}] .dml-curve", "d")
    return len(path.split("L")) if path else 0


def test_the_points_are_hidden_until_asked_for_and_the_answer_until_the_last_epoch(from_disk):
    page = from_disk(TrainingReplay())
    assert page.locator("[data-cloud]").count() == 0
    assert page.locator("[data-curve]").count() == 2
    assert "hardest" not in page.inner_text(".dml-training_replay")
    page.select_option("label:has-text('my prediction') select", "right")
    page.click("button:text-is('Show the points')")
    says(page, "Your prediction: right. Take the epoch to its end to see the outcome.")
    assert page.locator("[data-cloud]").count() == 2
    assert "hardest triplet of each anchor" in page.inner_text(".dml-stage")
    assert "collapsed at the end" not in page.inner_text(".dml-training_replay")
    page.focus(SLIDER)
    page.keyboard.press("End")
    says(page, "Your prediction: right; collapsed at the end: right.")


def test_before_training_no_curve_no_number_and_no_label_tells_what_the_distances_become(from_disk):
    page = from_disk(TrainingReplay(revealed=True, numbers=True))
    for key in ("distance", "recall"):
        assert [drawn(page, side, key) for side in ("left", "right")] == [1, 1]
        told = page.locator(f"td[data-key={key}]").all_inner_texts()
        assert told[2:] == ["…"] * (2 * LAST) and "…" not in told[:2]
        label = page.get_attribute(f"[data-curve={key}][data-of=right]", "aria-label")
        start = label.partition(", from ")[2].partition(" to ")[0]
        assert label.startswith(
            f"{'Recall@1' if key == 'recall' else key} of run B, from {start} to {start};"
        )
    assert drawn(page, "right", "loss") == LAST  # the loss is the question, and whole
    page.focus(SLIDER)
    page.keyboard.press("End")
    says(page, "Epoch 24 of 24.")
    assert drawn(page, "right", "distance") == LAST + 1
    assert "…" not in page.locator("td[data-key=distance]").all_inner_texts()


def test_beside_recall_stand_the_number_of_characters_and_the_untrained_network(from_disk):
    page = from_disk(TrainingReplay(revealed=True))
    legend = page.inner_text(".dml-legend")
    assert "500 drawings of 25 characters; at epoch 0 they are those of the untrained network" in legend


def test_what_it_shows_is_what_was_recorded(from_disk):
    page = from_disk(TrainingReplay(left="sst", right="hardest", revealed=True, epoch=7, numbers=True))
    for side, name in (("left", "sst"), ("right", "hardest")):
        for key in ("loss", "recall", "distance"):
            cells = page.locator(f"td[data-of={side}][data-key={key}]")
            shown = cells.evaluate_all("cells => cells.map(cell => cell.dataset.value)")
            known = [float(value) for value in shown if value is not None]
            assert known == pytest.approx([v for v in curves()[name][key] if v is not None], rel=1e-4)
            assert len(known) == (LAST if key == "loss" else LAST + 1)  # no loss before training
    assert page.locator("tr[aria-current]").get_attribute("data-epoch") == "7"
    label = page.get_attribute("[data-curve=recall][data-of=left]", "aria-label")
    assert f"epoch 7 of 24: {round(100 * curves()['sst']['recall'][7])} %" in label


def test_the_marker_and_the_points_follow_the_epoch(from_disk):
    page = from_disk(TrainingReplay(revealed=True, epoch=LAST))
    before, cloud = marker(page, "left"), page.inner_html("[data-cloud=right]")
    page.focus(SLIDER)
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.wait_for_function("document.querySelector('.dml-epoch').textContent === '21 of 24'")
    assert marker(page, "left")[0] < before[0]
    assert page.inner_html("[data-cloud=right]") != cloud
    page.keyboard.press("Home")
    says(page, "Before training. Left, run A: different characters")


def spread(page, side: str) -> float:
    """Width of what is drawn inside a frame, as a share of the frame."""
    return page.eval_on_selector(
        f"[data-cloud={side}]",
        """svg => { const boxes = [...svg.querySelectorAll('.dml-points')].map(p => p.getBBox());
            const low = Math.min(...boxes.map(b => b.x)), high = Math.max(...boxes.map(b => b.x + b.width));
            return (high - low) / svg.clientWidth; }""",
    )


def test_the_collapsed_run_is_one_spot_until_it_is_magnified(from_disk):
    page = from_disk(TrainingReplay(revealed=True, epoch=LAST))
    assert spread(page, "right") < 0.1 < 0.2 < spread(page, "left")
    page.check("label:has-text('magnify') input")
    page.wait_for_function("document.querySelector('[data-cloud=right]').textContent.includes('magnified')")
    assert spread(page, "right") > 0.5


def test_play_runs_to_the_last_epoch_and_stops(from_disk):
    page = from_disk(TrainingReplay(epoch=LAST - 3))
    page.click("button:text-is('Play')")
    page.wait_for_selector("button:text-is('Pause')")
    page.wait_for_function("document.querySelector('.dml-epoch').textContent === '24 of 24'")
    page.wait_for_selector("button:text-is('Play')")
    page.click("button:text-is('Play')")  # from the end it begins anew
    page.wait_for_function("parseInt(document.querySelector('.dml-epoch').textContent) < 3")
    page.click("button:text-is('Pause')")
    page.click("button:text-is('Reset')")
    page.wait_for_function("document.querySelector('.dml-epoch').textContent === '21 of 24'")


def test_nothing_plays_by_itself_and_less_motion_means_slower_steps(from_disk):
    page = from_disk(TrainingReplay(), reduced_motion="reduce")
    page.wait_for_timeout(700)
    assert page.inner_text(".dml-epoch") == "0 of 24"
    waited = page.evaluate(
        """() => new Promise((done) => {
            const play = [...document.querySelectorAll('button')].find((b) => b.textContent === 'Play');
            const begun = performance.now(), epoch = document.querySelector('.dml-epoch');
            new MutationObserver(() => {
                if (epoch.textContent === '1 of 24') done(performance.now() - begun);
            }).observe(epoch, { childList: true, characterData: true, subtree: true });
            play.click();
        })"""
    )
    assert waited > 850  # milliseconds; otherwise it is 400


def test_the_takeaway_is_reached_by_keyboard_alone(from_disk):
    page = from_disk(TrainingReplay())
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.textContent"))
        if seen[-1] == "Show the points":
            page.keyboard.press("Enter")
            says(page, "Before training.")
        if seen[-1] == "Takeaway":
            break
    assert seen[-1] == "Takeaway" and "Show the points" in "".join(seen)
    page.keyboard.press("Enter")
    assert "look at the distances too" in page.inner_text("details:last-of-type")
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.matches('.dml-training_replay')")


def test_named_states_hide_the_answer_or_show_it(from_disk):
    page = from_disk(TrainingReplay())
    page.click("button:text-is('collapsed beside healthy')")
    says(page, "Epoch 24 of 24.")
    says(page, "apart on average (1.")  # of that before training, in per cent
    assert page.locator("[data-cloud]").count() == 2
    page.click("button:text-is('pair 2')")
    says(page, "points hidden")
    assert page.locator("[data-cloud]").count() == 0
    assert "loss of run C" in page.get_attribute("[data-curve][data-of=right]", "aria-label")


def test_either_column_can_hold_any_run(from_disk):
    page = from_disk(TrainingReplay(revealed=True, epoch=LAST))
    page.select_option(".dml-controls label:has-text('right') >> nth=-1 >> select", "contrastive")
    says(page, "Right, run E")
    says(page, "not collapsed")


def test_without_a_kernel_one_sentence_stands_where_a_run_could_be_trained(from_disk):
    page = from_disk(TrainingReplay())
    assert "In a notebook with a kernel you can train a run of your own" in page.inner_text(".dml-live")
    assert page.locator(".dml-live :is(button, select, input)").count() == 0
    assert page.get_by_text("Train live").count() == 0


def test_a_live_run_in_the_page_is_shown_as_far_as_it_went(from_disk):
    figure = TrainingReplay()
    figure.train("active", learning_rate=0.003, margin=0.5)
    while len(figure.runs.get("live", {}).get("loss", ())) < 2:
        assert not figure.wait(0.1), figure.live["words"]
    figure.stop()
    live = figure.runs["live"]
    page = from_disk(figure)
    says(page, f"Epoch {len(live['loss']) - 1} of 24.")
    assert "Live run" not in page.inner_text(".dml-live")
    heading = page.inner_text(".dml-column:last-child .dml-run")
    assert heading == "live run: triplet loss, active triplets only, learning rate 0.003, margin 0.5"
    cells = page.locator("td[data-of=right][data-key=distance]")
    shown = cells.evaluate_all("cells => cells.map(cell => cell.dataset.value ?? null)")
    assert [float(v) for v in shown if v] == pytest.approx(live["distance"], rel=1e-4)
    assert shown[len(live["distance"]) :] == [None] * (LAST + 1 - len(live["distance"]))
    newest = page.inner_html("[data-cloud=right]")
    page.focus(SLIDER)
    page.keyboard.press("End")  # it was not trained that far
    says(page, "Epoch 24 of 24.")
    says(page, "Right, live run: loss")
    assert page.inner_html("[data-cloud=right]") == newest


def test_a_margin_can_be_chosen_where_the_loss_has_one_and_starts_as_recorded(from_disk):
    page = from_disk(WithKernel())
    loss, margin = (page.locator(f".dml-live label:has-text('{name}') select") for name in ("loss", "margin"))
    for name, run in curves().items():
        loss.select_option(name)
        painted(page)
        assert margin.is_visible() == (name != "sst")
        if name != "sst":
            assert margin.evaluate(CHOSEN) == f"{replay.margin(name):g} (as recorded)"
        assert loss.evaluate(CHOSEN) == run["about"]
    page.get_by_role("button", name="Train live").click()
    page.wait_for_function("document.querySelector('.dml-words').textContent.includes('is asked to train')")
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Train live").wait_for()


def test_reset_ends_a_run_and_starts_none(from_disk):
    class Trains(WithKernel):
        training = True  # as on a page that is opened meanwhile

    page = from_disk(Trains())
    page.get_by_role("button", name="Stop").wait_for()
    page.click("button:text-is('Reset')")
    page.get_by_role("button", name="Train live").wait_for()
    page.click("button:text-is('Reset')")
    painted(page)
    assert page.get_by_role("button", name="Train live").is_visible()


@pytest.mark.parametrize("made", [TrainingReplay, WithKernel])
@pytest.mark.parametrize("revealed", [False, True])
def test_whatever_has_the_focus_keeps_its_keys_from_jupyter(from_disk, made, revealed):
    page = from_disk(made(revealed=revealed, numbers=True))
    focusable = ".dml-explorable, .dml-explorable :is([tabindex], button, input, select, summary)"
    unmarked = f"[...document.querySelectorAll('{focusable}')].filter(e => !e.dataset.lmSuppressShortcuts)"
    assert page.locator(focusable).count() > 12
    assert page.evaluate(f"{unmarked}.map(e => e.outerHTML).filter(e => !e.includes('dml-explorable'))") == []


@pytest.mark.parametrize("made", [TrainingReplay, WithKernel])
@pytest.mark.parametrize("revealed", [False, True])
def test_it_fits_a_phone_and_its_controls_are_large_enough_to_touch(from_disk, made, revealed):
    page = from_disk(made(revealed=revealed), size=(360, 800), has_touch=True, is_mobile=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    for control in page.locator(".dml-explorable :is(button, select, summary, input[type=range])").all():
        if control.is_visible():
            assert control.bounding_box()["height"] >= 44, control.evaluate("e => e.outerHTML")
    page.locator(SLIDER).scroll_into_view_if_needed()
    box = page.locator(SLIDER).bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] - 6, box["y"] + box["height"] / 2)
    page.wait_for_function("parseInt(document.querySelector('.dml-epoch').textContent) > 20")


def test_an_unreadable_page_still_has_the_picture(browser):
    body = TrainingReplay(revealed=True, epoch=LAST)._repr_mimebundle_()[0]["text/html"]
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.set_content(body)
    picture = page.locator("img").first
    assert picture.bounding_box()["width"] > 300
    assert "Run B" in picture.get_attribute("alt")
    context.close()
