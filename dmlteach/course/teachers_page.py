"""What a teacher should know of each exercise, as the page of the site that `docs/conf.py` puts it into."""

from collections.abc import Iterator

from dmlteach.course.exercises import CHAPTERS, Chapter, five_questions, in_page, kinds
from dmlteach.course.exercises.kinds import Exercise

KINDS = {
    kinds.Function: "a function",
    kinds.Number: "a number, or several",
    kinds.Choice: "a choice, with reasons",
    kinds.Configuration: "settings, which are run",
    kinds.Artefact: "something to make, which is looked into",
    kinds.Reflection: "a text, never marked",
}
# Where the exercises of a chapter take longer than its first lines say, and why.
LONGER = {
    "start_here": "The five refreshers at the end take 15 of them, and are for those who need them.",
    "temperature": "The chapter says 20: leave one of the two functions for home.",
    "proxies_clusters_trees": "The chapter says 20: leave one of the three functions for home.",
    "which_method_is_best": "The closing project, the last two exercises, takes 15 of them.",
}


def page() -> str:
    """A section for each chapter, and in it a section for each exercise, as Markdown."""
    sections = ["\n".join(section) for chapter in CHAPTERS for section in _sections(chapter)]
    return "\n\n".join([*sections, "## The five questions", five_questions.IN_CLASS])


def minutes(chapter: Chapter) -> int:
    """What to plan for all exercises of a chapter.

    Args:
        chapter: of the course.
    """
    return sum(exercise.teaching.minutes for exercise in chapter.exercises)


def _sections(chapter: Chapter) -> Iterator[list[str]]:
    link = f"[the chapter](../notebooks/{chapter.name}.ipynb#exercises)"
    about = f"{len(chapter.exercises)} exercises of {link}, {minutes(chapter)} minutes."
    yield [f"## {chapter.number} · {chapter.title}", "", f"{about} {LONGER.get(chapter.name, '')}".strip()]
    for exercise in chapter.exercises:
        yield _section(chapter, exercise)


def _section(chapter: Chapter, exercise: Exercise) -> list[str]:
    of, teaching = in_page.anchor(chapter.name, exercise.id), exercise.teaching
    own = "; numbers of each student's own" if exercise.has_own_numbers else ""
    return [
        f"### [{exercise.number}](#{of}) {exercise.title}",
        "",
        f"{teaching.minutes} minutes: {KINDS[type(exercise)]}{own}.",
        "",
        f"- **Often:** {teaching.often}",
        f"- **Say:** {teaching.say}",
    ]
