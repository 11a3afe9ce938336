"""What works on this computer, in ten lines, and the cure for what does not."""

import csv
import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

OLDEST_PYTHON = (3, 11)
GIB = 2**30
ENOUGH_DISK = 5 * GIB  # environment, caches of decoded images, runs
ENOUGH_MEMORY = 4 * GIB  # two notebooks at once
INSTALL = 'pip install "dmlteach[course]"'
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


@dataclass(frozen=True)
class Check:
    """One line of the report: what was looked at, whether it works, what was found, and the cure if not."""

    name: str
    works: bool
    found: str
    cure: str = ""


def examine() -> list[Check]:
    """Look at everything dmlteach needs; never raises, also where packages are missing or broken."""
    return [_examine_one(name, look) for name, look in LOOKS.items()]


def _examine_one(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except Exception as error:  # a broken installation can raise anything, e.g. OSError for a missing library
        reason = (str(error).splitlines() or [""])[0]
        return Check(name, False, f"{type(error).__name__}: {reason}", f"install again: {INSTALL}")


def python_version() -> Check:
    """Python is new enough."""
    wanted = ".".join(map(str, OLDEST_PYTHON))
    found = f"{platform.python_version()} ({sys.executable})"
    return Check("Python", sys.version_info >= OLDEST_PYTHON, found, f"install Python {wanted} or newer")


def torch_version() -> Check:
    """torch and torchvision can be imported."""
    torch, torchvision = import_module("torch"), import_module("torchvision")
    threads = torch.get_num_threads()
    found = f"{torch.__version__} ({_build(torch)}), torchvision {torchvision.__version__}, {threads} threads"
    return Check("torch", True, found)


def device() -> Check:
    """The device that `--device auto` takes; a CPU is enough for the course."""
    torch = import_module("torch")
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        return Check("device", True, f"cuda: {count} × {torch.cuda.get_device_name(0)}")
    if torch.backends.mps.is_available():
        return Check("device", True, "mps: Apple GPU")
    found = f"cpu, {os.cpu_count()} cores; enough for the course, slow for photographs"
    if torch.version.cuda:
        found += "; torch's CPU build would take less room (README)"
    return Check("device", True, found)


def faiss_version() -> Check:
    """faiss searches neighbours where it is installed, else torch; two packages of it damage each other."""
    installed = sorted(name for name in installed_sizes() if name.startswith("faiss"))
    if len(installed) > 1:
        names = " ".join(installed)
        found = f"{' and '.join(installed)} are installed, and write the same files"
        return Check("faiss", False, found, f"pip uninstall {names}, then pip install one of them")
    if find_spec("faiss") is None:
        return Check(
            "faiss", True, "not installed: torch searches instead, more slowly (pip install faiss-cpu)"
        )
    faiss = import_module("faiss")
    gpus = f"{faiss.get_num_gpus()} GPUs" if hasattr(faiss, "StandardGpuResources") else "CPU build"
    return Check("faiss", True, f"{faiss.__version__}, {gpus}")


def jupyter() -> Check:
    """JupyterLab and the widgets of the notebooks."""
    return _packages("Jupyter", "jupyterlab", "ipykernel", "ipywidgets", "anywidget")


def course_tools() -> Check:
    """papermill executes the notebooks, Sphinx renders them."""
    return _packages("course", "papermill", "sphinx", "myst_nb", "furo")


def browser() -> Check:
    """A Chromium-like browser for the browser tests; any browser shows the course."""
    found = find_browser()
    cure = "only the browser tests need one: install Chromium or Chrome, or: playwright install chromium"
    return Check("browser", found is not None, str(found or "no Chromium, Chrome or Edge found"), cure)


def disk() -> Check:
    """Free disk space where the cache of decoded images lives."""
    folder = _nearest_existing(cache_folder())
    free = shutil.disk_usage(folder).free
    cure = "make room, or name a folder on another disk in DMLTEACH_CACHE"
    found = f"{free / GIB:.0f} GiB free in {folder}"
    if taken := sum(installed_sizes().values()):
        found += f"; the packages of this Python take {taken / GIB:.1f} GiB"
    return Check("disk", free >= ENOUGH_DISK, found, cure)


def memory() -> Check:
    """Memory that programs may take now."""
    free = _free_memory()
    if free is None:
        return Check("memory", True, "not known on this system")
    cure = "close other programs, or execute one notebook at a time: dmlteach course --jobs 1"
    return Check("memory", free >= ENOUGH_MEMORY, f"{free / GIB:.1f} GiB free", cure)


def data_cache() -> Check:
    """The cache folder can be written; nothing is written to find out."""
    folder = cache_folder()
    writable = os.access(_nearest_existing(folder), os.W_OK)
    return Check("data cache", writable, str(folder), "name a folder you may write in DMLTEACH_CACHE")


LOOKS: dict[str, Callable[[], Check]] = {
    "Python": python_version,
    "torch": torch_version,
    "device": device,
    "faiss": faiss_version,
    "Jupyter": jupyter,
    "course": course_tools,
    "browser": browser,
    "disk": disk,
    "memory": memory,
    "data cache": data_cache,
}


def find_browser() -> Path | None:
    """A Chromium-like browser on this computer: on the path, or where playwright puts its own."""
    for name in BROWSERS:
        if path := shutil.which(name):
            return Path(path)
    homes = [
        os.environ.get("PLAYWRIGHT_BROWSERS_PATH"),
        "~/.cache/ms-playwright",
        "~/Library/Caches/ms-playwright",
    ]
    patterns = ("chromium-*/chrome-*/chrome", "chromium-*/chrome-*/*.app/Contents/MacOS/*")
    for home in filter(None, homes):
        for pattern in patterns:
            if found := sorted(Path(home).expanduser().glob(pattern)):
                return found[-1]
    return None


def cache_folder() -> Path:
    """Where decoded images are kept; needs no torch, unlike `dmlteach.data.cache`."""
    if folder := os.environ.get("DMLTEACH_CACHE"):
        return Path(folder)
    return Path(import_module("platformdirs").user_cache_dir("dmlteach"))


def installed_sizes() -> dict[str, int]:
    """Bytes of each package of this Python, by its name in lower case, as its list of files has them."""
    from importlib.metadata import distributions

    sizes: dict[str, int] = {}
    for package in distributions():
        rows = csv.reader((package.read_text("RECORD") or "").splitlines())
        size = sum(int(row[2]) for row in rows if len(row) == 3 and row[2].isdigit())
        sizes.setdefault(str(package.metadata["Name"]).lower().replace("_", "-"), size)
    return sizes


def missing_packages(pyproject: Path, extras: tuple[str, ...] = ()) -> list[str]:
    """Requirements of a checkout that this Python does not satisfy, e.g. ["papermill>=2.6"].

    Args:
        pyproject: the checkout's pyproject.toml.
        extras: optional parts to include, e.g. ("course", "dev").
    """
    import tomllib
    from importlib.metadata import PackageNotFoundError, version

    try:
        from packaging.requirements import Requirement
    except ImportError:
        return ["packaging"]
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    parts, waiting = project.get("optional-dependencies", {}), list(project["dependencies"])
    for extra in extras:
        waiting += parts[extra]
    missing = []
    while waiting:
        requirement = Requirement(waiting.pop(0))
        if requirement.name == project.get("name"):  # a part of several others
            waiting += [text for extra in sorted(requirement.extras) for text in parts[extra]]
            continue
        if requirement.marker and not requirement.marker.evaluate():
            continue
        if requirement.name.startswith("faiss-") and find_spec("faiss"):
            continue  # conda's package has another name
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            found = ""
        if not found or not requirement.specifier.contains(found, prereleases=True):
            missing.append(f"{requirement.name}{requirement.specifier}")
    return missing


def _build(torch: ModuleType) -> str:
    """What a build of torch computes on."""
    if torch.version.cuda:
        return f"build for CUDA {torch.version.cuda}"
    return f"build for ROCm {torch.version.hip}" if torch.version.hip else "CPU build"


def _packages(name: str, *modules: str) -> Check:
    absent = [module for module in modules if find_spec(module) is None]
    if absent:
        return Check(name, False, f"missing: {', '.join(absent)}", INSTALL)
    from importlib.metadata import version

    return Check(name, True, ", ".join(f"{module} {version(module)}" for module in modules))


def _nearest_existing(folder: Path) -> Path:
    """The folder itself, or the closest parent that exists."""
    return next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())


def _free_memory() -> int | None:
    """Bytes that could be taken without swapping, or None where it cannot be told."""
    if find_spec("psutil"):
        return int(import_module("psutil").virtual_memory().available)
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None


def main(extras: list[str]) -> int:
    """`python -m dmlteach.doctor course dev`: name what an existing environment lacks; 0 if nothing.

    Args:
        extras: optional parts of the package that must be there.
    """
    checkout = Path(__file__).parent.parent
    missing = missing_packages(checkout / "pyproject.toml", tuple(extras))
    if missing:
        install = f'{sys.executable} -m pip install -e ".[{",".join(extras)}]"'
        print(f"{sys.executable} lacks: {', '.join(missing)}\ninstall them with: {install}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
