"""Installs dmlteach from the folder that this file lies in, as a part of a bundle; no network is used.

It is copied into each bundle as it stands: it imports Python's own library only.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE / ".venv"
SUMS = "SHA256SUMS"
ABOUT = "bundle.json"  # "dmlteach": version, "python": "3.11", "platform": as `this_platform` says it


def main() -> None:
    """Check the computer and the files, install, say what to do next."""
    about = json.loads((HERE / ABOUT).read_text(encoding="utf-8"))
    refuse_another_computer(about)
    refuse_damaged_files()
    install(about["dmlteach"])
    tell_what_is_next()


def this_platform() -> str:
    """System and processor, e.g. linux-x86_64."""
    return f"{platform.system()}-{platform.machine()}".lower()


def refuse_another_computer(about: dict) -> None:
    """The wheels fit one version of Python on one kind of computer.

    Args:
        about: what `bundle.json` says.
    """
    python = ".".join(map(str, sys.version_info[:2]))
    if python != about["python"]:
        sys.exit(f"this bundle is for Python {about['python']}; {sys.executable} is Python {python}.")
    if this_platform() != about["platform"]:
        sys.exit(f"this bundle is for {about['platform']}; this computer is {this_platform()}.")


def refuse_damaged_files() -> None:
    """Compare every file with its checksum, and name those that differ."""
    lines = (HERE / SUMS).read_text(encoding="utf-8").splitlines()
    print(f"Checking {len(lines)} files …", flush=True)
    wrong = [name for digest, name in (line.split("  ", 1) for line in lines) if digest_of(name) != digest]
    if wrong:
        shown = "\n".join(f"    {name}" for name in wrong[:10])
        sys.exit(f"these files are damaged or missing; unpack or copy the bundle again:\n{shown}")


def digest_of(name: str) -> str:
    """SHA-256 of a file of the bundle; empty where it cannot be read.

    Args:
        name: its path in the bundle.
    """
    digest = hashlib.sha256()
    try:
        with open(HERE / name, "rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


def install(version: str) -> None:
    """Make the environment, and let the bundle's pip install into it; one that is there is completed.

    Args:
        version: of dmlteach.
    """
    print(f"Installing into {ENVIRONMENT}; this takes some minutes …", flush=True)
    # Debian's Python makes none with pip unless another package is installed; the bundle has its own.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(ENVIRONMENT)], check=True)
    wheels = HERE / "wheels"
    pip = next(wheels.glob("pip-*.whl")) / "pip"
    options = ["--isolated", "--disable-pip-version-check", "--quiet", "--no-compile", "--no-index"]
    wanted = ["--find-links", str(wheels), "pip", f"dmlteach[course]=={version}"]
    if subprocess.run([str(program("python")), str(pip), "install", *options, *wanted]).returncode:
        sys.exit(f"pip could not install; what it said stands above. Remove {ENVIRONMENT} and try again.")


def program(name: str) -> Path:
    """A program of the environment.

    Args:
        name: of the program.
    """
    return ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin") / name


def tell_what_is_next() -> None:
    """The two ways into the course."""
    print(f"\nInstalled. To read the course, open in a browser:\n    {HERE / 'site' / 'index.html'}")
    print(f"To work in it, call in a folder of yours:\n    {program('dmlteach')} lab")


if __name__ == "__main__":
    main()
