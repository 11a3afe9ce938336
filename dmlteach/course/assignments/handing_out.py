"""Hands exercises out: a notebook for each chapter, with the numbers of each student."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from nbformat import NotebookNode, writes
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

import dmlteach
from dmlteach import files
from dmlteach.course import execute, exercises, material
from dmlteach.course.assignments.assignment import FILE, Assignment
from dmlteach.course.exercises import CHAPTERS, Chapter, own, own_chapters
from dmlteach.course.exercises.kinds import Choice, Exercise, Function, Reflection
from dmlteach.errors import DMLTeachError, unknown_name

RELEASED = "release"  # nbgrader's name for what is handed out
METADATA = "dmlteach"
HOW = """# {title}

Exercises of {chapter}. Replace each `...` by your answer and run its cell, from the top to the
bottom. As long as there is no answer, a cell says so and does no harm; where a reply offers hints,
`hint("…")` gives them.

**To hand in**: save this notebook, and hand in the file `{file}` under this name. Its answers are run
again, with the code above them that they use; what you have deleted cannot be marked. {numbers}"""
OWN_NUMBERS = "Its numbers are **yours**: others have other ones, where it does not say *the same for all*."
FIRST_CELL = "import torch\n\nfrom dmlteach.exercises import check, hint, use_own, use_variants\n\n"
STUB = 'def answer({}):\n    ...\n\n\ncheck("{}", answer)'
FORMS = {Choice: '  # {"a letter": "because …"}', Reflection: "  # text, in quotes"}  # as chapters say it


def chapters(numbers: Sequence[str]) -> list[Chapter]:
    """Chapters by their numbers or the names of their notebooks, and what `use_own` has taken in by its name.

    Args:
        numbers: e.g. "01" or "pairs_and_triplets".

    Raises:
        DMLTeachError: there is none of that number.
    """
    every = (*CHAPTERS, *own_chapters())
    known = {key: chapter for chapter in every for key in (chapter.number, chapter.name) if key}
    for number in numbers:
        if number not in known:
            raise unknown_name("chapter", number, known)
    asked = {known[number].name for number in numbers}
    return [chapter for chapter in every if chapter.name in asked]


def chosen(numbers: Sequence[str], ids: Sequence[str] = ()) -> dict[str, list[str]]:
    """Ids of exercises by the notebook that asks them.

    Args:
        numbers: of chapters.
        ids: only these exercises; default all of the chapters.

    Raises:
        DMLTeachError: one of them is in none of the chapters, or a chapter has none of them.
    """
    found = {c.name: [e.id for e in c.exercises if not ids or e.id in ids] for c in chapters(numbers)}
    every = [exercise for asked in found.values() for exercise in asked]
    for id in ids:
        if id not in every:
            raise unknown_name(
                "exercise of these chapters", id, [e.id for c in chapters(numbers) for e in c.exercises]
            )
    for name, asked in found.items():
        if not asked:
            raise DMLTeachError(
                f"no exercise of {name} is chosen; leave the chapter out, or choose one of its own."
            )
    return found


def make(assignment: Assignment, folder: Path) -> list[Path]:
    """Write the notebooks to hand out, and the assignment, which the teacher keeps.

    Args:
        assignment: what is asked of whom.
        folder: `release/ASSIGNMENT/NAME.ipynb` goes there, or `release/STUDENT/ASSIGNMENT/NAME.ipynb` where
            each has numbers of their own.

    Returns:
        The notebooks.

    Raises:
        DMLTeachError: the folder holds another assignment, or an exercise of the teacher's own does not take
            its own solution for right.
    """
    if (folder / FILE).exists():
        raise DMLTeachError(
            f"{folder} holds an assignment already; name another folder, or remove that one if nobody has it."
        )
    everybody = assignment.students or [""]
    for id in (e.id for chapter in own_chapters() for e in chapter.exercises if e.id in assignment.ids()):
        for student in everybody if exercises.get(id).has_own_numbers else everybody[:1]:
            own.try_solution(assignment.asked(student, id))
    written = []
    for student in everybody:
        place = folder / RELEASED / student / assignment.name
        for name in assignment.notebooks:
            path = place / f"{name}.ipynb"
            files.write_text(path, writes(notebook(assignment, name, student)) + "\n")
            written.append(path)
        for file in map(Path, assignment.own):
            files.write_text(place / file.name, file.read_text(encoding="utf-8"))
    assignment.write(folder)
    return written


def notebook(assignment: Assignment, name: str, student: str = "") -> NotebookNode:
    """One notebook of an assignment.

    Args:
        assignment: what is asked.
        name: of the chapter's notebook.
        student: whose; "" where all have the same.
    """
    (chapter,) = chapters([name])
    ids = assignment.notebooks[name]
    variants = {id: assignment.variant(student, id) for id in ids} if student else {}
    is_own = chapter in own_chapters()
    about_what = f"*{chapter.title}*" if is_own else f"the chapter *{chapter.title}*"
    title = {"title": assignment.name, "chapter": about_what, "file": f"{name}.ipynb"}
    cells = [new_markdown_cell(HOW.format(**title, numbers=OWN_NUMBERS if student else "").strip())]
    uses = f'use_own("{name}.py")\n' if is_own else ""
    cells.append(new_code_cell(f"{FIRST_CELL}{uses}use_variants({variants})"))
    given = {e.id: stub(e) for e in chapter.exercises} if is_own else as_in_chapter(name)
    for id in ids:
        exercise = assignment.asked(student, id)
        same = "" if exercise.varies or not student else "\n\n*(The same for all.)*"
        cells.append(new_markdown_cell(f"**{_ended(exercise.heading)}** {exercise.text}{same}"))
        if exercise.setup:
            cells.append(new_code_cell(exercise.setup))
        cells.append(new_code_cell(given[id]))
    for number, cell in enumerate(cells):  # the same each time it is made
        cell["id"] = f"{name[:40].replace('_', '-')}-{number}"
    about = {
        "assignment": assignment.name,
        "notebook": name,
        "version": dmlteach.__version__,
        "student": student,
    }
    kernel = {"name": execute.KERNEL, "display_name": "Python 3", "language": "python"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel, METADATA: about})


def stub(exercise: Exercise) -> str:
    """A cell that asks for an answer.

    Args:
        exercise: of the teacher's own.
    """
    if isinstance(exercise, Function):
        return STUB.format(", ".join(exercise.arguments), exercise.id)
    return f'answer = ...{FORMS.get(type(exercise), "")}\ncheck("{exercise.id}", answer)'


def _ended(heading: str) -> str:
    """With a full stop, where it does not end as a sentence does."""
    return heading if heading.endswith(("?", "!", ".")) else f"{heading}."


def as_in_chapter(name: str) -> dict[str, str]:
    """The cell in which a chapter asks for the answer, by the id of its exercise."""
    page = files.read_json(material.home() / "notebooks" / f"{name}.ipynb", "install dmlteach again.")
    cells = ["".join(cell["source"]) for cell in page["cells"] if cell["cell_type"] == "code"]
    return {id: cell for cell in cells for id in _ids_checked(cell)}


def _ids_checked(cell: str) -> Iterator[str]:
    for chapter in CHAPTERS:
        for exercise in chapter.exercises:
            if f'check("{exercise.id}"' in cell:
                yield exercise.id
