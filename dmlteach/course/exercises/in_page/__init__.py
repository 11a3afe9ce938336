"""Exercises that the site answers without a kernel: their definitions as JSON, and the scripts that use them.

What an exercise is, is said once, by its kind: `judge` compares an answer in Python, `for_page` is what
`judge.js` compares it with. `kept.js` keeps answers in the browser, `guesses.js` puts predictions beside
what is measured, `form.js` asks and replies.
"""

import json
from pathlib import Path

from dmlteach.course.exercises import written
from dmlteach.course.exercises.kinds import Exercise
from dmlteach.course.exercises.progress import BETTER, VERSION
from dmlteach.course.exercises.replies import BORDERS, KEPT, MARKS, NOT_YET, RIGHT, TO_COMPARE, UNANSWERED

FOLDER = Path(__file__).parent
SCRIPTS = ("judge.js", "kept.js", "guesses.js", "form.js")
STYLE = "form.css"


def place(exercise: Exercise) -> str:
    """What stands below an exercise on the site, as Markdown: where a script builds its form, or words.

    Args:
        exercise: any; one that only a kernel can judge says so.
    """
    definition = exercise.for_page()
    if definition is None:
        chapter = exercise.number.partition(".")[0]
        return f"*This one is answered in the notebook:* `dmlteach lab {chapter}`"
    content = {"id": exercise.id, "heading": exercise.heading, **definition}
    return f'<div class="dml-answer">{as_script(content)}</div>'


def anchor(chapter: str, id: str) -> str:
    """What a link to an exercise on the site is to: the name of a target above its text.

    Args:
        chapter: its notebook, without ending.
        id: of the exercise.
    """
    return f"{chapter}-{id.replace('.', '-')}"


def overview() -> str:
    """Where a script says what is kept in the browser, with the ways in and out; empty without it."""
    return '<div class="dml-kept"></div>'


def files() -> dict[str, str]:
    """Script and style of the site, by the ending of their names."""
    return {"js": script(), "css": (FOLDER / STYLE).read_text("utf-8")}


def script() -> str:
    """All scripts as one, which a browser takes from the disk, too; they begin with what Python says."""
    said = {
        "statuses": {
            "right": RIGHT,
            "notYet": NOT_YET,
            "unanswered": UNANSWERED,
            "toCompare": TO_COMPARE,
            "kept": KEPT,
        },
        "marks": MARKS,
        "borders": BORDERS,
        "better": BETTER,
        "version": VERSION,
        "written": written.SAID,
    }
    parts = [(FOLDER / name).read_text("utf-8") for name in SCRIPTS]
    body = "\n".join([f"const SAID = {json.dumps(said, ensure_ascii=False)};", *parts])
    return f'"use strict";\nvar dmlteachAnswers = (() => {{\n{body}}})();\n'


def as_script(content: object) -> str:
    """An element that holds JSON for a script of the page and shows nothing.

    Args:
        content: what JSON can say.
    """
    text = json.dumps(content, ensure_ascii=False)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json">{text}</script>'
