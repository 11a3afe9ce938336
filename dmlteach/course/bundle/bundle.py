"""A bundle is planned first, which tells its size, and then made: wheels, site, installers, checksums."""

import hashlib
import io
import tarfile
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import dmlteach
from dmlteach import files
from dmlteach.course import material, site
from dmlteach.course.bundle import install, texts, wheels
from dmlteach.course.bundle.wheels import Wheel
from dmlteach.course.material import CHECKOUT
from dmlteach.errors import counted

ASKED_ABOVE = 10**9  # bytes
WORK = CHECKOUT / "build" / "bundle" / "wheels"  # kept: the next bundle downloads only what is new


@dataclass(frozen=True)
class Bundle:
    """What a bundle will hold, before it is downloaded.

    Attributes:
        wheels: all of them.
        absent: those that are still to be downloaded.
    """

    wheels: Sequence[Wheel]
    absent: Sequence[Wheel]

    @property
    def size(self) -> int:
        """Bytes of its wheels, as far as their servers tell."""
        return _sum(self.wheels)

    @property
    def is_small(self) -> bool:
        """Whether nobody need be asked; it is not where a size is unknown."""
        return self.size <= ASKED_ABOVE and all(wheel.size is not None for wheel in self.wheels)

    def __str__(self) -> str:
        unknown = sum(wheel.size is None for wheel in self.wheels)
        least = "at least " if unknown else ""
        said = [f"bundle: {counted(len(self.wheels), 'wheel')}, {least}{files.readable(self.size)}"]
        gpu = [wheel for wheel in self.wheels if wheel.project.startswith("nvidia-")]
        if gpu:
            said.append(
                f"{files.readable(_sum(gpu))} of it for NVIDIA GPUs, which this torch cannot do without"
            )
        if unknown:
            said.append(f"the servers do not tell the size of {counted(unknown, 'wheel')}")
        said.append(f"{files.readable(_sum(self.absent))} to download")
        return "; ".join(said)


def plan(torch_index: str, say: Callable[[str], None]) -> Bundle:
    """Find out what a bundle of this checkout, for computers like this one, consists of.

    Args:
        torch_index: of torch's CPU builds, which are taken where it has them.
        say: receives what the reader should know.

    Raises:
        DMLTeachError: a package cannot be had.
    """
    chosen = wheels.choose(WORK, torch_index, say)
    return Bundle(chosen, [wheel for wheel in chosen if not wheel.is_in(WORK)])


def name() -> str:
    """Of a bundle of this version for computers like this one, and of the folder that it unpacks to."""
    return f"dmlteach-{dmlteach.__version__}-{install.this_platform()}-py{texts.PYTHON.replace('.', '')}"


def place(output: str | Path | None) -> Path:
    """Where the archive will lie.

    Args:
        output: file, or a folder for it. None: in `build/` of the checkout.

    Raises:
        DMLTeachError: nothing can be written there; or there is no checkout, of which a bundle is made.
    """
    material.need_checkout("a bundle is made")
    path = CHECKOUT / "build" if output is None else Path(output)
    if output is None or path.is_dir():
        path = path / f"{name()}.tar"
    files.check_place(path)
    return path


def make(bundle: Bundle, path: Path, say: Callable[[str], None]) -> None:
    """Render the site, download the wheels, and write the archive, which is there whole or not at all.

    Args:
        bundle: as planned.
        path: of the archive.
        say: receives each line of progress.

    Raises:
        DMLTeachError: a disk is full, a download fails, or a chapter does.
    """
    cure = "Make room, or choose another --output."
    files.check_room(_sum(bundle.absent), WORK, "what is still to be downloaded", cure)
    files.check_room(bundle.size, path.parent, "the bundle", cure)
    index = site.build(say=say)
    wheels.fetch(bundle.absent, WORK, say)
    say("Writing the archive …")
    _write(path, _contents(bundle, index.parent))


def _contents(bundle: Bundle, pages: Path) -> dict[str, Path | bytes]:
    """Everything in a bundle by its path there."""
    found: dict[str, Path | bytes] = {f"wheels/{wheel.file}": WORK / wheel.file for wheel in bundle.wheels}
    installed = sum(_unpacked(path) for path in found.values() if isinstance(path, Path))
    shown = sorted(path for path in pages.rglob("*") if path.is_file())
    found |= {f"site/{path.relative_to(pages).as_posix()}": path for path in shown}
    size = sum(path.stat().st_size for path in found.values() if isinstance(path, Path))
    found |= {name: text.encode() for name, text in texts.texts(size, installed).items()}
    found["install.py"] = Path(install.__file__)
    lines = [f"{_digest(content)}  {name}\n" for name, content in sorted(found.items())]
    return {**found, install.SUMS: "".join(lines).encode()}


def _write(path: Path, contents: Mapping[str, Path | bytes]) -> None:
    """One tar; wheels are compressed already."""
    with files.whole(path) as file, tarfile.open(fileobj=file, mode="w") as archive:
        for inside, content in contents.items():
            if file.refusal:
                break  # the disk is full; `whole` says so
            entry = tarfile.TarInfo(f"{name()}/{inside}")
            entry.size = content.stat().st_size if isinstance(content, Path) else len(content)
            entry.mode = 0o755 if inside == "install.sh" else 0o644
            entry.mtime = int(time.time())
            with _opened(content) as source:
                archive.addfile(entry, source)


def _opened(content: Path | bytes) -> io.BufferedIOBase:
    return open(content, "rb") if isinstance(content, Path) else io.BytesIO(content)


def _digest(content: Path | bytes) -> str:
    with _opened(content) as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _unpacked(wheel: Path) -> int:
    with zipfile.ZipFile(wheel) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def _sum(chosen: Sequence[Wheel]) -> int:
    return sum(wheel.size or 0 for wheel in chosen)
