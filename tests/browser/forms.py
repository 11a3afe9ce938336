"""Forms of a page that a test answers, and what the page keeps of the answers."""

import json

from dmlteach.course import exercises
from dmlteach.course.exercises import in_page
from dmlteach.course.exercises.kinds import Choice

KEY = "dmlteach.progress.v1"


def asked(id: str, code: str = "answer = ...") -> str:
    """An exercise as Sphinx renders it, without the colours of the code."""
    exercise = exercises.get(id)
    options = exercise.options if isinstance(exercise, Choice) else {}
    items = "".join(f"<li><p><strong>{k}</strong>: {o.text}</p></li>" for k, o in options.items())
    listed = f'<ul class="simple">{items}</ul>' if items else ""
    cell = f'<div class="cell tag_exercise"><pre>{code}\ncheck("{id}", answer)\n</pre></div>'
    return f"<p>{exercise.heading}</p>{listed}{cell}{in_page.place(exercise)}"


def form_of(page, id: str):
    return page.get_by_role("form", name=exercises.get(id).heading)


def reply_of(page, id: str) -> str:
    return form_of(page, id).get_by_role("status").inner_text()


def kept(page) -> dict:
    """Records by exercise."""
    return json.loads(page.evaluate(f"localStorage.getItem('{KEY}')") or '{"exercises": {}}')["exercises"]
