"""The wheels of a bundle: pip chooses and downloads them; those that are there already are kept."""

import hashlib
import json
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from dmlteach.course.material import CHECKOUT
from dmlteach.errors import DMLTeachError, need

# It tells what it would install from the first bytes of the files; older ones download all of them for that.
PIP = "pip==26.3"
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"  # PyPI's torch for Linux asks for CUDA's libraries
_TIMEOUT = 20  # seconds without an answer
_AT_ONCE = 8  # questions about sizes


@dataclass(frozen=True)
class Wheel:
    """A wheel that belongs into a bundle, wherever it is now.

    Attributes:
        project: its package.
        version: of the package.
        url: where it is.
        sha256: of the file; None where the index does not tell.
        size: bytes; None where the server does not tell.
    """

    project: str
    version: str
    url: str
    sha256: str | None
    size: int | None

    @property
    def file(self) -> str:
        """Its file name, which says for which computers it is."""
        return unquote(PurePosixPath(urlsplit(self.url).path).name)

    def is_in(self, folder: Path) -> bool:
        """Whether a folder holds it, whole.

        Args:
            folder: of wheels.
        """
        path = folder / self.file
        if not path.is_file():
            return False
        if self.sha256 is None:
            return path.stat().st_size == self.size
        with open(path, "rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest() == self.sha256


def choose(folder: Path, torch_index: str, say: Callable[[str], None]) -> list[Wheel]:
    """What this checkout's `dmlteach[course]` needs on computers like this one, itself and pip included.

    On Linux torch's CPU build is taken where its index has it: it asks for no CUDA. On Linux x86-64 the lock
    file decides on versions.

    Args:
        folder: where this checkout's wheel and pip's are put; of the others nothing is downloaded, if their
            servers can send a part of a file or the index tells what they need.
        torch_index: of torch's CPU builds.
        say: told where torch comes from, if not from there.

    Raises:
        DMLTeachError: a package has no wheel for this Python here, or its index does not answer.
    """
    need("hatchling", "dev")
    folder.mkdir(parents=True, exist_ok=True)
    own = _build(folder)
    pip = pip_in(folder) or _get_pip(folder)
    if sys.platform == "linux":
        refusal = _refusal(torch_index)
        if refusal is None:
            wheels = _resolve(pip, own, ["--extra-index-url", torch_index])
            if _is_cpu_build(wheels):
                return [*wheels, _here("pip", pip)]
            refusal = "has no CPU build of it for this Python"
        say(f"{torch_index} {refusal}: torch comes from your usual index.")
    return [*_resolve(pip, own), _here("pip", pip)]


def fetch(wheels: Sequence[Wheel], folder: Path, say: Callable[[str], None]) -> None:
    """Download wheels one after the other: what has arrived is kept when the next is interrupted.

    Args:
        wheels: that are not there yet.
        folder: for them.
        say: told each one.

    Raises:
        DMLTeachError: one cannot be downloaded, or is not what the index promised.
    """
    for number, wheel in enumerate(wheels, 1):
        say(f"[{number}/{len(wheels)}] {wheel.file}")
        address = f"{wheel.url}#sha256={wheel.sha256}" if wheel.sha256 else wheel.url
        _run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), address])
        if not wheel.is_in(folder):
            raise DMLTeachError(f"{wheel.url} is not what its index promised; repeat the command.")


def pip_in(folder: Path) -> Path | None:
    """The wheel of pip in a folder, which runs without being installed.

    Args:
        folder: of wheels.
    """
    return next(folder.glob(f"{PIP.replace('==', '-')}-*.whl"), None)


def _get_pip(folder: Path) -> Path:
    _run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), PIP])
    path = pip_in(folder)
    if path is None:
        raise DMLTeachError(f"your index has no wheel of {PIP}, with which a bundle is made.")
    return path


def _build(folder: Path) -> Path:
    """The wheel of this checkout."""
    for old in folder.glob("dmlteach-*.whl"):
        old.unlink()
    _run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=CHECKOUT)
    (path,) = folder.glob("dmlteach-*.whl")
    return path


def _refusal(index: str) -> str | None:
    """Why an index is of no use, as the verb of a sentence; None where it answers with a list of torch."""
    import requests

    try:
        answer = requests.head(f"{index.rstrip('/')}/torch/", timeout=_TIMEOUT, allow_redirects=True)
    except requests.RequestException as error:
        return f"does not answer ({type(error).__name__})"
    return None if answer.ok else f"answers {answer.status_code} {answer.reason}"


def _is_cpu_build(wheels: Sequence[Wheel]) -> bool:
    """Whether torch is, and torchvision fits it."""
    built = [wheel.version for wheel in wheels if wheel.project in ("torch", "torchvision")]
    return all(version.endswith("+cpu") for version in built)


def _resolve(pip: Path, own: Path, options: Sequence[str] = ()) -> list[Wheel]:
    """What pip would install of `dmlteach[course]` where nothing is installed, with sizes."""
    locked = sys.platform == "linux" and platform.machine() == "x86_64"
    constraints = ["-c", str(CHECKOUT / "requirements.lock")] if locked else []
    with tempfile.TemporaryDirectory(prefix="dmlteach-bundle-") as temporary:
        report = Path(temporary) / "report.json"
        _run(
            [
                *(sys.executable, str(pip / "pip"), "install", "-qq", "--disable-pip-version-check"),
                *("--dry-run", "--ignore-installed", "--only-binary", ":all:", "--use-feature", "fast-deps"),
                *("--report", str(report), *constraints, *options, f"{own}[course]"),
            ]
        )
        found = json.loads(report.read_text(encoding="utf-8"))["install"]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        sizes = list(pool.map(_size, [one["download_info"]["url"] for one in found]))
    return [_wheel(one, size) for one, size in zip(found, sizes, strict=True)]


def _wheel(found: dict[str, Any], size: int | None) -> Wheel:
    """From an entry of pip's report."""
    source, about = found["download_info"], found["metadata"]
    sha256 = source.get("archive_info", {}).get("hashes", {}).get("sha256")
    return Wheel(about["name"].lower(), about["version"], source["url"], sha256, size)


def _here(project: str, path: Path) -> Wheel:
    version = path.name.split("-")[1]
    return Wheel(project, version, path.absolute().as_uri(), None, path.stat().st_size)


def _size(url: str) -> int | None:
    """Bytes of a file, if its server tells."""
    import requests

    if urlsplit(url).scheme == "file":
        return Path(url2pathname(urlsplit(url).path)).stat().st_size
    plain = {"Accept-Encoding": "identity"}
    try:
        answer = requests.head(url, headers=plain, timeout=_TIMEOUT, allow_redirects=True)
        answer.raise_for_status()
        return int(answer.headers["Content-Length"])
    except (requests.RequestException, KeyError, ValueError):
        return None


def _run(command: Sequence[str], cwd: Path | None = None) -> None:
    """A command whose last words are told where it fails."""
    done = subprocess.run(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        said = done.stdout.strip().splitlines()
        errors = [line for line in said if line.startswith("ERROR")] or said
        raise DMLTeachError("the wheels cannot be had:\n" + "\n".join(errors[-6:]))
