"""A bundle holds what a room without a network needs, asks before it is large, and installs from itself."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import files as files_of
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

import dmlteach
from dmlteach import files
from dmlteach.cli import app
from dmlteach.course import bundle as bundles
from dmlteach.course import material
from dmlteach.course.bundle import bundle, wheels

NO_INDEX = "http://127.0.0.1:9/cpu"  # where nobody listens
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
SAYS = "def main():\n    import torch\n    print('torch', torch.__version__)\n"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="install.sh is for Linux and macOS")


def write_wheel(folder: Path, project: str, number: str, code: str = "", more: str = "") -> Path:
    """A wheel of one module.

    Args:
        folder: for it.
        project: its name, and its module's.
        number: its version.
        code: of the module.
        more: lines of its metadata.
    """
    path, info = folder / f"{project}-{number}-py3-none-any.whl", f"{project}-{number}.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    held = {
        f"{project}.py": code or f"__version__ = {number!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: {number}\n{more}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{project} = {project}:main\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in held.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in [*held, f"{info}/RECORD"]))
    return path


def write_index(folder: Path, *found: Path) -> None:
    """Pages of links with checksums, as an index has them."""
    for path in found:
        page = folder / path.name.split("-")[0] / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        (page.parent / path.name).write_bytes(path.read_bytes())
        link = f'<a href="{path.name.replace("+", "%2B")}#sha256={digest}">{path.name}</a>\n'
        page.write_text((page.read_text() if page.exists() else "<!DOCTYPE html>\n") + link)


@pytest.fixture(scope="module")
def pip_wheel(tmp_path_factory) -> Path:
    """The pip of these tests, as a wheel: the one that bundles are made with need not be at hand."""
    path = tmp_path_factory.mktemp("pip") / f"pip-{version('pip')}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files_of("pip") or ():
            if file.suffix != ".pyc" and ".." not in file.parts:
                archive.write(file.locate(), file.as_posix())
    return path


def prepare(folder: Path, monkeypatch: pytest.MonkeyPatch, pip_wheel: Path) -> Path:
    """A checkout whose course needs two made-up packages, and an index of them as pip's only one."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", (folder / "index").as_uri())
    vision = write_wheel(folder / "made", "torchvision", "1.0", more="Requires-Dist: torch\n")
    write_index(folder / "index", write_wheel(folder / "made", "torch", "2.0"), vision)

    root = folder / "checkout"
    page = root / "build" / "course" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("the course")
    (root / "requirements.lock").write_text("torch==2.0\n")
    work = root / "build" / "bundle" / "wheels"
    work.mkdir(parents=True)
    (work / pip_wheel.name).write_bytes(pip_wheel.read_bytes())
    needs = "Provides-Extra: course\n" + "".join(
        f"Requires-Dist: {name}; extra == 'course'\n" for name in ("torch", "torchvision")
    )
    monkeypatch.setattr(wheels, "PIP", f"pip=={version('pip')}")
    monkeypatch.setattr(wheels, "CHECKOUT", root)
    monkeypatch.setattr(
        wheels, "_build", lambda at: write_wheel(at, "dmlteach", dmlteach.__version__, SAYS, needs)
    )
    monkeypatch.setattr(bundle, "CHECKOUT", root)
    monkeypatch.setattr(bundle, "WORK", work)
    monkeypatch.setattr(bundle.site, "build", lambda say: page)
    return root


@pytest.fixture
def checkout(tmp_path, monkeypatch, pip_wheel) -> Path:
    """A checkout as `prepare` makes it."""
    return prepare(tmp_path, monkeypatch, pip_wheel)


@pytest.fixture
def planned(checkout, tmp_path, monkeypatch) -> Path:
    """The same, where what pip would choose is known without asking it; nothing is downloaded yet."""
    found = []
    for path in sorted((tmp_path / "made").iterdir()):
        digest, size = hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size
        name, number, *_ = path.name.split("-")
        found.append(wheels.Wheel(name, number, path.as_uri(), digest, size))
    monkeypatch.setattr(wheels, "choose", lambda folder, torch_index, say: found)
    return checkout


@pytest.fixture(scope="module")
def made(tmp_path_factory, pip_wheel) -> tuple[Path, str]:
    """The checkout in which a bundle was made, and what the command said."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        root = prepare(tmp_path_factory.mktemp("made"), monkeypatch, pip_wheel)
        done = run()
        assert done.exit_code == 0, done.output
        return root, done.output


def run(*options: str, answer: str = "", torch_index: str = NO_INDEX):
    """The command, with what is typed into it."""
    return CliRunner().invoke(app, ["bundle", "--torch-index", torch_index, *options], input=answer)


def archive_of(checkout: Path) -> Path:
    return checkout / "build" / f"{bundle.name()}.tar"


def unpack(checkout: Path, room: Path) -> Path:
    """The folder that a bundle unpacks to."""
    with tarfile.open(archive_of(checkout)) as archive:
        archive.extractall(room, filter="data")
    return room / bundle.name()


def install(folder: Path, **more: str) -> subprocess.CompletedProcess:
    """`sh install.sh` where no index is known and no setting of this computer."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHON": sys.executable, **more}
    command = [shutil.which("sh") or "sh", str(folder / "install.sh")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def torch_of(chosen: list[wheels.Wheel]) -> list[str]:
    return sorted(f"{wheel.project} {wheel.version}" for wheel in chosen if wheel.project.startswith("torch"))


def choose(torch_index: str = NO_INDEX) -> tuple[list[wheels.Wheel], str]:
    """The wheels, and what was said of them."""
    said: list[str] = []
    return wheels.choose(bundle.WORK, torch_index, said.append), "\n".join(said)


# ── what is in it ─────────────────────────────────────────────────────────────────────────────────────


def test_it_holds_wheels_site_and_installers_and_a_checksum_of_each(made, tmp_path):
    folder = unpack(made[0], tmp_path)
    held = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    names = [f"dmlteach-{dmlteach.__version__}", f"pip-{version('pip')}", "torch-2.0", "torchvision-1.0"]
    texts = {"README.txt", "bundle.json", "install.py", "install.sh", "install.ps1"}
    expected = texts | {"site/index.html"} | {f"wheels/{name}-py3-none-any.whl" for name in names}
    assert held == expected | {"SHA256SUMS"}
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in expected}
    assert not re.search("@[A-Z]+@", "".join((folder / name).read_text("utf-8") for name in texts))
    assert "not tried" in (folder / "install.ps1").read_text().splitlines()[0]


def test_the_name_tells_version_platform_and_python():
    system = subprocess.run(["uname", "-sm"], capture_output=True, text=True, check=True).stdout.split()
    python = f"py{sys.version_info.major}{sys.version_info.minor}"
    assert bundle.name() == f"dmlteach-{dmlteach.__version__}-{'-'.join(system).lower()}-{python}"


@pytest.mark.parametrize(("machine", "torch"), [("x86_64", "torch 2.0"), ("aarch64", "torch 3.0")])
@pytest.mark.skipif(sys.platform != "linux", reason="the lock file is for Linux")
def test_the_lock_file_decides_on_linux_x86_64_only(checkout, tmp_path, monkeypatch, machine, torch):
    write_index(tmp_path / "index", write_wheel(tmp_path / "made", "torch", "3.0"))
    monkeypatch.setattr(wheels.platform, "machine", lambda: machine)
    assert torch_of(choose()[0]) == [torch, "torchvision 1.0"]


def test_the_wheel_of_this_checkout_is_built_into_it(tmp_path):
    (tmp_path / "dmlteach-0.0.1-py3-none-any.whl").touch()
    built = wheels._build(tmp_path)
    assert list(tmp_path.iterdir()) == [built]
    assert "dmlteach/course/packed/notebooks/start_here.ipynb" in zipfile.ZipFile(built).namelist()


def test_an_output_that_is_a_folder_takes_the_archive_under_its_name(planned, tmp_path):
    (tmp_path / "stick").mkdir()
    assert run("--output", str(tmp_path / "stick")).exit_code == 0
    assert [path.name for path in (tmp_path / "stick").iterdir()] == [archive_of(planned).name]


def test_a_place_that_cannot_be_written_is_refused_before_pip_is_asked(planned, tmp_path, monkeypatch):
    monkeypatch.setattr(wheels, "choose", lambda *_: pytest.fail("pip has been asked"))
    (tmp_path / "notes.txt").write_text("not a folder")
    done = run("--output", str(tmp_path / "notes.txt" / "bundle.tar"))
    assert done.exit_code == 2 and "cannot be written" in done.stderr


# ── torch's CPU build ─────────────────────────────────────────────────────────────────────────────────


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    """Answer requests by a handler until the test ends; returns the address."""
    servers = []

    def start(handler) -> str:
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), handler))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_index_that_help_names_is_the_one_that_is_asked(monkeypatch):
    asked = []
    monkeypatch.setattr(bundle, "ASKED_ABOVE", -1)
    monkeypatch.setattr(wheels, "choose", lambda folder, torch_index, say: asked.append(torch_index) or [])
    CliRunner().invoke(app, ["bundle"], input="n\n")
    assert asked[0] in "".join(CliRunner().invoke(app, ["bundle", "--help"]).output.split())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch asks for no CUDA")
def test_torch_comes_from_the_cpu_index_where_that_has_all_of_it(checkout, tmp_path, serve):
    address = serve(partial(Quiet, directory=str(tmp_path / "cpu")))
    write_index(tmp_path / "cpu", write_wheel(tmp_path / "built", "torch", "2.0+cpu"))
    chosen, said = choose(address)  # torchvision would not fit this torch
    assert torch_of(chosen) == ["torch 2.0", "torchvision 1.0"]
    assert said == f"{address} has no CPU build of it for this Python: torch comes from your usual index."
    write_index(tmp_path / "cpu", write_wheel(tmp_path / "built", "torchvision", "1.0+cpu"))
    chosen, said = choose(address)
    assert torch_of(chosen) == ["torch 2.0+cpu", "torchvision 1.0+cpu"]
    assert said == ""
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "built").iterdir()}
    assert {wheel.file: wheel.size for wheel in chosen if "cpu" in wheel.version} == sizes


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch asks for no CUDA")
def test_an_index_that_does_not_answer_is_told_and_the_usual_one_is_taken(made, checkout, tmp_path, serve):
    assert f"{NO_INDEX} does not answer (ConnectionError): torch comes from your usual index." in made[1]
    empty = serve(partial(Quiet, directory=str(tmp_path / "made")))
    chosen, said = choose(empty)
    assert said == f"{empty} answers 404 File not found: torch comes from your usual index."
    assert torch_of(chosen) == ["torch 2.0", "torchvision 1.0"]


# ── how large it is ───────────────────────────────────────────────────────────────────────────────────


def test_the_size_stands_before_the_first_download_and_below_the_limit_nobody_is_asked(made):
    checkout, output = made
    sizes = [path.stat().st_size for path in (checkout / "build" / "bundle" / "wheels").iterdir()]
    assert len(sizes) == 4
    said, _, after = output.partition("to download\n")
    assert f"bundle: 4 wheels, {sum(sizes) / 1e6:.1f} MB" in said
    assert "[1/2] torch" in after and ".whl" not in said
    assert "Go on?" not in output


def test_above_the_limit_it_asks_and_no_leaves_nothing(planned, monkeypatch):
    monkeypatch.setattr(bundle, "ASKED_ABOVE", 0)
    done = run(answer="n\n")
    assert done.exit_code == 0 and "Go on? [y/N]" in done.output
    assert done.output.endswith("nothing was written\n")
    assert not archive_of(planned).exists()
    assert not list((planned / "build" / "bundle" / "wheels").glob("torch*"))
    assert run(answer="y\n").exit_code == 0
    assert archive_of(planned).exists()


def test_where_nobody_can_answer_it_says_how_to_do_without(planned, monkeypatch):
    monkeypatch.setattr(bundle, "ASKED_ABOVE", 0)
    done = run()
    assert done.exit_code == 2 and "error: nobody is there to answer; --yes" in done.stderr
    assert not archive_of(planned).exists()
    done = run("--yes")
    assert done.exit_code == 0 and "Go on?" not in done.output
    assert archive_of(planned).exists()


def test_a_size_that_no_server_tells_is_called_unknown_and_asked_about(serve):
    class NoHead(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(405)
            self.end_headers()

        def log_message(self, *_):
            pass

    url = serve(NoHead) + "/torch-2.0-py3-none-any.whl"
    unknown = wheels.Wheel("torch", "2.0", url, None, wheels._size(url))
    assert unknown.size is None
    planned = bundles.Bundle(
        [wheels.Wheel("numpy", "1", "file:///numpy-1.whl", None, 2_000_000), unknown], []
    )
    assert "at least 2.0 MB" in str(planned) and "do not tell the size of 1 wheel" in str(planned)
    assert not planned.is_small


def test_what_nvidias_libraries_take_is_told():
    big = wheels.Wheel("nvidia-cudnn-cu13", "9", "file:///x.whl", None, 1_500_000_000)
    assert "1.5 GB of it for NVIDIA GPUs" in str(bundles.Bundle([big], [big]))
    assert "NVIDIA" not in str(bundles.Bundle([wheels.Wheel("numpy", "1", "", None, 1)], []))


def test_a_disk_without_room_is_told_before_anything_is_downloaded(planned, monkeypatch):
    monkeypatch.setattr(files, "_free", lambda folder: 10)
    done = run()
    assert done.exit_code == 2 and "0.0 MB free. Make room, or choose another --output." in done.stderr
    assert "[1/" not in done.output and not archive_of(planned).exists()


# ── interrupted ───────────────────────────────────────────────────────────────────────────────────────


def test_an_interrupted_download_leaves_no_archive_and_goes_on_with_what_is_missing(planned, monkeypatch):
    real = wheels._run

    def until_torchvision(command, cwd=None):
        if "download" in command and "torchvision" in command[-1]:
            raise KeyboardInterrupt
        real(command, cwd)

    monkeypatch.setattr(wheels, "_run", until_torchvision)
    done = run()
    assert done.exit_code == 130
    assert not list((planned / "build").glob("*.tar*"))
    monkeypatch.setattr(wheels, "_run", real)
    done = run()
    assert done.exit_code == 0
    assert re.findall(r"\[.*\] \w+", done.output) == ["[1/1] torchvision"]
    with tarfile.open(archive_of(planned)) as archive:
        assert sum("/wheels/torch" in name for name in archive.getnames()) == 2


def test_a_wheel_that_was_cut_off_is_downloaded_again(planned):
    assert run().exit_code == 0
    wheel = planned / "build" / "bundle" / "wheels" / "torch-2.0-py3-none-any.whl"
    whole = wheel.read_bytes()
    wheel.write_bytes(whole[:100])
    assert "[1/1] torch-2.0" in run().output
    assert wheel.read_bytes() == whole


def test_an_interrupted_archive_leaves_the_one_that_was_there(planned, monkeypatch):
    assert run().exit_code == 0
    before = archive_of(planned).read_bytes()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tarfile.TarFile, "addfile", interrupted)
    assert run().exit_code == 130
    assert archive_of(planned).read_bytes() == before
    assert list((planned / "build").glob("*.part")) == []


def test_a_package_that_the_index_lacks_is_one_error_in_pips_words(checkout, tmp_path):
    (tmp_path / "index" / "torchvision" / "index.html").write_text("<!DOCTYPE html>")
    done = run()
    assert done.exit_code == 2 and "Traceback" not in done.output
    assert "No matching distribution found for torchvision" in done.stderr


def test_an_installed_package_says_that_a_clone_is_needed(checkout, monkeypatch):
    monkeypatch.setattr(material, "is_installed", lambda: True)
    done = run()
    assert done.exit_code == 2 and "a bundle is made from a clone of the repository" in done.stderr


# ── in the room ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def room(made, tmp_path) -> Path:
    """An unpacked bundle, with a space in its path."""
    return unpack(made[0], tmp_path / "a room")


def test_it_installs_from_itself_alone(room, made):
    (made[0].parent / "index").rename(made[0].parent / "gone")
    done = install(room)
    assert done.returncode == 0, done.stderr
    assert str(room / "site" / "index.html") in done.stdout
    assert f"{room / '.venv' / 'bin' / 'dmlteach'} lab" in done.stdout
    command = room / ".venv" / "bin" / "dmlteach"
    started = subprocess.run([command], env={}, capture_output=True, text=True)
    assert started.stdout == "torch 2.0\n"
    assert install(room).returncode == 0  # once more does no harm


@pytest.mark.parametrize("broken", ["wheels/torch-2.0-py3-none-any.whl", "site/index.html"])
def test_a_damaged_or_missing_file_is_named_and_nothing_is_installed(room, broken):
    if broken.startswith("wheels"):
        with open(room / broken, "ab") as wheel:
            wheel.write(b"x")
    else:
        (room / broken).unlink()
    done = install(room)
    assert done.returncode == 1
    assert done.stderr.splitlines()[1:] == [f"    {broken}"] and "damaged or missing" in done.stderr
    assert not (room / ".venv").exists()


def test_without_the_right_python_it_says_which_are_there(room, tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "dirname").symlink_to(shutil.which("dirname") or "/usr/bin/dirname")
    for name in (f"python{PYTHON}", "python3", "python"):
        program = tmp_path / "bin" / name
        program.write_text("#!/bin/sh\necho 3.9\n")
        program.chmod(0o755)
    done = install(room, PYTHON="", PATH=f"{tmp_path / 'bin'}")
    assert done.returncode == 1
    words = (
        f"this bundle needs Python {PYTHON}; python{PYTHON} is 3.9; python3 is 3.9; python is 3.9; install it"
    )
    assert words in done.stderr
    done = install(room, PATH=f"{tmp_path / 'bin'}", PYTHON=f"{tmp_path / 'no such'}")
    assert done.returncode == 1 and "no Python was found" in done.stderr
    assert not (room / ".venv").exists()


def test_the_first_python_of_the_right_version_is_taken(room, tmp_path):
    (tmp_path / "bin").mkdir()
    wrong, right = tmp_path / "bin" / f"python{PYTHON}", tmp_path / "bin" / "python3"
    wrong.write_text("#!/bin/sh\necho 3.9\n")
    right.write_text(f'#!/bin/sh\ncase $1 in -c) echo {PYTHON};; *) echo "runs $1";; esac\n')
    for program in (wrong, right):
        program.chmod(0o755)
    done = install(room, PYTHON="", PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert done.stdout == f"runs {room / 'install.py'}\n"


@pytest.mark.parametrize(("fact", "said"), [("python", "is for Python other"), ("platform", "is for other;")])
def test_the_installer_refuses_another_python_and_another_computer(room, fact, said):
    about = json.loads((room / "bundle.json").read_text())
    (room / "bundle.json").write_text(json.dumps(about | {fact: "other"}))
    done = install(room)
    assert done.returncode == 1 and f"this bundle {said}" in done.stderr
    assert not (room / ".venv").exists()


def test_the_shell_script_is_plain_sh(room):
    for shell in filter(None, map(shutil.which, ("sh", "dash", "bash"))):
        assert subprocess.run([shell, "-n", str(room / "install.sh")]).returncode == 0
