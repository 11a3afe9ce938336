"""A Jupyter server of the tests: real, with settings and kernels of its own."""

import json
import os
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
        _wait_for(address + "/api", server)
        yield address
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:  # it waits for kernels that nobody needs any more
            server.kill()


def _wait_for(address: str, server: subprocess.Popen, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError("Jupyter did not start")
