"""The chapters and the pages that they link to: where they lie, and the reader's own copy of them."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import dmlteach
from dmlteach import files
from dmlteach.course.sources import PACKAGE
from dmlteach.errors import DMLTeachError

CHECKOUT = PACKAGE.parent
PACKED = (
    PACKAGE / "course" / "packed"
)  # the build of the package puts them there; a checkout has no such folder
FOLDER = "dmlteach-course"
MANIFEST = ".dmlteach-course.json"  # in the copy: SHA-256 of each file as it was copied
PARTS = (
    "notebooks/*.ipynb",
    "notebooks/order.txt",
    "notebooks/reports/*.ipynb",
    "docs/*.md",
    "figures/*.png",
)
SITE_ONLY = "docs/index.md"


@dataclass
class Copied:
    """What a copy has done, by names below its folder.

    Attributes:
        folder: where the copy lies.
        new: files that were not there.
        renewed: files that the reader had not changed, and the package had.
        beside: file of the package's newer version, by the file that the reader has changed.
    """

    folder: Path
    new: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)
    beside: dict[str, str] = field(default_factory=dict)

    def sentences(self) -> list[str]:
        """What the reader should know: how many files there are, and each that lies beside one of theirs."""
        counts = [
            f"{len(names)} {what}" for what, names in (("new", self.new), ("renewed", self.renewed)) if names
        ]
        said = [f"course: {self.folder} ({', '.join(counts) or 'nothing new'})"]
        for name, other in self.beside.items():
            said.append(
                f"{name} stays as you have changed it; the one of dmlteach {dmlteach.__version__} is {other}"
            )
        return said


def home() -> Path:
    """The folder that holds `notebooks/` and `docs/`: the checkout, or a part of the installed package."""
    return PACKED if PACKED.is_dir() else CHECKOUT


def is_installed() -> bool:
    """Whether the package was built and installed, and no checkout is around it."""
    return home() == PACKED


def need_checkout(what: str) -> None:
    """Refuse what only a clone of the repository can do.

    Args:
        what: subject and verb of a sentence, e.g. "the site is built".

    Raises:
        DMLTeachError: the package is installed without its repository.
    """
    if is_installed():
        raise DMLTeachError(
            f"{what} from a clone of the repository, not from an installed package: clone it and "
            "call `make course` there; to read and run the chapters, call `dmlteach lab`."
        )


def names() -> list[str]:
    """Files of the course, below `home`."""
    found = sorted(path for pattern in PARTS for path in home().glob(pattern))
    return [name for path in found if (name := path.relative_to(home()).as_posix()) != SITE_ONLY]


def usual_folder() -> Path:
    """Where the reader's copy is: the current folder if it is one, else `dmlteach-course` in it."""
    here = Path.cwd()
    return here if (here / MANIFEST).is_file() else here / FOLDER


def copy(folder: Path) -> Copied:
    """Lay the course out in a folder as in the repository, and overwrite nothing that the reader changed.

    A file that is as it was copied is renewed where the package has another one; one that the reader has
    changed stays, and a newer one of the package is put beside it, once. Every file is written whole or not
    at all, the list of what was copied last: an interrupted copy is completed by the next one, and two at the
    same time write the same.

    Args:
        folder: of the reader; made where it is missing.

    Returns:
        What was done.

    Raises:
        DMLTeachError: the folder is a file, or cannot be written; or its manifest is damaged.
    """
    manifest = folder / MANIFEST
    files.check_place(manifest)
    before = _read(manifest) if manifest.exists() else {}
    contents = {name: (home() / name).read_bytes() for name in names()}
    hashes = {name: _hash(content) for name, content in contents.items()}
    for name in contents:
        _content(folder / name)  # what cannot be read is told before anything is written
    done = Copied(folder)
    for name, content in contents.items():
        there = _content(folder / name)
        if there == content:
            continue
        if there is None:
            done.new.append(name)
        elif _hash(there) == before.get(name):
            done.renewed.append(name)
        else:
            if before.get(name) != hashes[name] and (other := _put_beside(folder / name, content)):
                done.beside[name] = other.relative_to(folder).as_posix()
            continue
        _write(folder / name, content)
    if hashes != before:
        files.write_json(manifest, {"dmlteach": dmlteach.__version__, "files": hashes})
    return done


def _put_beside(path: Path, content: bytes) -> Path | None:
    """Write the package's version of a file under a name that says so; None where it lies there already."""
    version = f"{path.stem}-dmlteach-{dmlteach.__version__}"
    for name in (
        version,
        f"{version}-{_hash(content)[:8]}",
    ):  # that of the same version may have been changed, too
        other = path.with_name(name + path.suffix)
        there = _content(other)
        if there == content:
            return None
        if there is None:
            _write(other, content)
            return other
    return None


def _write(path: Path, content: bytes) -> None:
    with files.whole(path) as file:
        file.write(content)


def _content(path: Path) -> bytes | None:
    """What a file of the reader's holds; None where there is none."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DMLTeachError(
            f"{path} cannot be read: {error.strerror or error}. Move it away, or choose another --folder."
        ) from error


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read(manifest: Path) -> dict[str, str]:
    cure = "Remove it: what differs from the package's files then stays, and these are put beside it."
    content = files.read_json(manifest, cure)
    try:
        return {str(name): str(value) for name, value in content["files"].items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise files.damaged(manifest, "it holds no list of files", cure) from error
