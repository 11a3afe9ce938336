"""Commands for teachers: hand exercises out, and collect them."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from dmlteach.cli.options import option
from dmlteach.errors import DMLTeachError, counted
from dmlteach.files import check_place, write_text

app = typer.Typer(help="For teachers: hand exercises out and collect them.", no_args_is_help=True)


@app.command()
def make(
    chapters: Annotated[
        list[str] | None, typer.Argument(help="Numbers or names of chapters.", show_default="none")
    ] = None,
    *,
    out: Annotated[str, option("Folder of the assignment; you keep it.", "DIR", False)],
    name: Annotated[str, option("Its name, and that of the folder of each hand-in.", "NAME")] = "assignment",
    exercise: Annotated[
        list[str], option("Id of an exercise; repeatable.", "ID", "all of the chapters")
    ] = [],  # noqa: B006
    own: Annotated[
        list[str],
        option("File with exercises of your own, or a folder of such files; repeatable.", "PATH", "none"),
    ] = [],  # noqa: B006
    students: Annotated[
        str | None,
        option("File with an id a line: each has numbers of their own.", "FILE", "all have the same"),
    ] = None,
    salt: Annotated[
        str | None,
        option("With --students: a word for this class, which changes the numbers.", "WORD", "none"),
    ] = None,
) -> None:
    """Write the exercises of chapters as notebooks to hand out.

    \b
    Example:
        dmlteach assignment make 01 03 --out week1
        dmlteach assignment make 01 03 --out week1 --students ids.txt --salt autumn
        dmlteach assignment make --own my_exercises --out week1
    """
    from dmlteach.course import assignments, exercises
    from dmlteach.course.assignments.handing_out import RELEASED, chosen

    if salt and not students:
        raise DMLTeachError(
            "--salt changes the numbers of students; give them by --students, or leave it out."
        )
    ids = read_ids(Path(students)) if students else ()
    files = own_files(own)
    exercises.use_own(*files)
    asked = [*(chapters or []), *(file.stem for file in files)]
    if not asked:
        raise DMLTeachError("name a chapter, e.g. 01, or a file with exercises of your own: --own FILE.")
    made = assignments.Assignment(
        name=name,
        notebooks=chosen(asked, exercise),
        students=ids,
        salt=salt or "",
        own=[str(file.resolve()) for file in files],
    )
    written = assignments.make(made, Path(out))
    typer.echo(f"assignment: {Path(out) / RELEASED} ({counted(len(written), 'notebook')})")


@app.command()
def collect(
    folder: Annotated[
        str,
        typer.Argument(
            metavar="DIR", help="Folder of the assignment, with submitted/STUDENT/ASSIGNMENT/NAME.ipynb."
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", metavar="FILE", help="CSV file of the marks; the other files lie beside it."
        ),
    ] = "marks.csv",
    due: Annotated[
        str | None, option("What comes after this time is listed as late.", "TIME", "nothing is late")
    ] = None,
    jobs: Annotated[int | None, option("Hand-ins at the same time.", "N", "one per core, at most 4")] = None,
) -> None:
    """Run the answers of all hand-ins again, and write marks, every answer, and an overview of the class.

    Each hand-in has a process of its own, 20 seconds for an answer, 60 for all, and 2 GB of memory. That
    keeps mistakes apart; it is no protection against code that means harm.

    \b
    Example:
        dmlteach assignment collect week1 -o week1/marks.csv --due 2026-12-01T18:00+01:00
    """
    from dmlteach.course import assignments
    from dmlteach.course.assignments import assignment as assigned
    from dmlteach.course.assignments import hand_ins, marks, overview
    from dmlteach.course.execute import default_jobs
    from dmlteach.options import at_least

    until = time_of(due) if due else None
    if jobs is not None:
        at_least("jobs", jobs, 1)
    path = Path(output)
    if path.suffix.lower() == ".html":
        raise DMLTeachError(
            f"--output {output} is the place of the overview; name the CSV file of the marks."
        )
    check_place(path)
    made = assigned.read(Path(folder))
    found = hand_ins.hand_ins(Path(folder), made, until)
    done = 0

    def report(hand_in: hand_ins.HandIn) -> None:
        nonlocal done
        done += 1
        typer.echo(f"[{done}/{sum(bool(one.cells) for one in found)}] {hand_in.student}: {hand_in.notebook}")

    collected = assignments.collect(made, found, jobs or default_jobs(), report)
    answers, noted, page = (path.with_suffix(end) for end in (".answers.csv", ".notes.csv", ".html"))
    marks.write(path, marks.MARKS, marks.marks(made, collected, until))
    marks.write(answers, marks.ANSWERS, marks.every_answer(made, collected))
    notes = list(marks.notes(made, collected))
    marks.write(noted, marks.NOTES, notes)
    kept = overview.progress_files(Path(folder), made)
    write_text(page, overview.page(made, collected, kept))
    typer.echo(f"marks: {path}\nanswers: {answers}\nto look at: {noted} ({len(notes)})\noverview: {page}")


def own_files(given: list[str]) -> list[Path]:
    """Files of exercises: those that are named, and those in folders that are.

    Args:
        given: files and folders.

    Raises:
        DMLTeachError: a folder has none.
    """
    found = []
    for path in map(Path, given):
        inside = sorted(path.glob("[!_]*.py")) if path.is_dir() else [path]
        if not inside:
            raise DMLTeachError(f"--own {path} holds no file that ends in .py.")
        found += inside
    return found


def read_ids(file: Path) -> tuple[str, ...]:
    """Ids of students, one a line; blank lines and what follows a # are left out.

    Args:
        file: of text.

    Raises:
        DMLTeachError: it cannot be read, or names nobody.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise DMLTeachError(f"--students {file}: {reason}; give a text file with an id a line.") from error
    ids = tuple(id for line in lines if (id := line.split("#")[0].strip()))
    if not ids:
        raise DMLTeachError(f"--students {file} names nobody; write an id a line.")
    return ids


def time_of(text: str) -> datetime:
    """A time as it is written in ISO 8601; without a zone it is this computer's.

    Args:
        text: e.g. "2026-12-01T18:00".

    Raises:
        DMLTeachError: it is no time.
    """
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise DMLTeachError(f"--due {text!r} is no time; write it like 2026-12-01T18:00.") from None
