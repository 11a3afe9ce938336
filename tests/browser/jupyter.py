"""A Jupyter server of the tests: real, with settings and kernels of its own."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def jupyter(app: str, home: Path, notebooks: Iterable[Path]) -> Iterator[str]:
    """Serve copies of the notebooks from `home/work`; yields the address.

    Args:
        app: "lab" (JupyterLab) or "notebook" (Notebook 7).
        home: an empty folder, for the copies and everything the server writes.
        notebooks: to copy.
    """
    settings = home / "config" / "labconfig" / "page_config.json"
    settings.parent.mkdir(parents=True)
    news = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    settings.write_text(json.dumps(news))
    work = home / "work"
    work.mkdir()
    for notebook in notebooks:
        shutil.copy(notebook, work)

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {f"JUPYTER_{kind.upper()}_DIR": str(home / kind) for kind in ("config", "data", "runtime")}
    options = [f"--port={port}", "--no-browser", "--allow-root", "--IdentityProvider.token="]
    options += [f"--ServerApp.root_dir={work}", "--LabApp.extension_manager=readonly"]
    server = subprocess.Popen(
        [sys.executable, "-m", {"lab": "jupyterlab", "notebook": "notebook"}[app], *options],
        env={**os.environ, **own, "IPYTHONDIR": str(home / "ipython"), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address + "/api", server)
        yield address
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:  # it waits for kernels that nobody needs any more
            server.kill()


def wait_for(address: str, server: subprocess.Popen, seconds: float = 300) -> None:
    """Wait until a server answers.

    Args:
        address: of anything that it answers with.
        server: its process; when that ends, nothing will answer.
        seconds: how long to wait.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError("Jupyter did not start")


def run_all(page, address: str) -> None:
    """Open a notebook and run its cells, once the kernel is there: else "Run All" asks for one."""
    page.goto(address)
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=300_000)
    if "/doc/" in address:
        page.get_by_text(") | Idle").wait_for(timeout=300_000)
    else:
        # Before it connects, Notebook 7 calls the kernel idle too; the word "connecting" comes and goes.
        page.locator(".jp-NotebookKernelStatus-fade:empty").wait_for(state="attached", timeout=300_000)
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=300_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def save(page, notebook: Path) -> dict:
    """Save by the menu; returns what the file then holds."""
    page.get_by_role("menuitem", name="File", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("^Save Notebook(?! As)")).click()
    return _wait_until_saved(notebook)


def scroll_to(page, selector: str, seconds: float = 300) -> None:
    """JupyterLab may build cells only when they come near the window: scroll until the element is there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if page.locator(selector).count():
            page.locator(selector).first.scroll_into_view_if_needed()
            return
        page.evaluate(
            """() => { const outer = document.querySelector('.jp-WindowedPanel-outer');
                const next = outer.scrollTop + outer.clientHeight / 2;
                outer.scrollTop = next < outer.scrollHeight - outer.clientHeight ? next : 0; }"""
        )
        page.wait_for_timeout(250)
    raise TimeoutError(f"{selector} did not appear")


def sources(notebook: Path) -> list[tuple[str, str]]:
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in cells]


def _wait_until_saved(notebook: Path, seconds: float = 120) -> dict:
    """The notebook as soon as the file on disk holds outputs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        content = json.loads(notebook.read_text("utf-8") or "{}")
        if any(cell.get("outputs") for cell in content.get("cells", [])):
            return content
        time.sleep(0.2)
    raise TimeoutError("JupyterLab did not save the notebook")
