"""The whole of a room without a network, as root on Linux: `python -m tests.browser.room ARCHIVE`.

Unpacks a bundle in an empty folder where no network is, installs it, opens chapter 00 from `dmlteach lab` in
Chromium, answers its first exercise, and says how long it took and how much room.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.browser.jupyter import run_all, scroll_to, wait_for

EXERCISE = "start.recall_at_1"
ALONE = "alone"  # second argument of the process that has no network
PORT, TOKEN = 8899, "room"


def main(archive: str, *alone: str) -> None:
    """Try one archive; the process starts itself anew where there is no network but the computer's own."""
    if not alone:
        inside = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
        again = [sys.executable, "-m", "tests.browser.room", str(Path(archive).absolute()), ALONE]
        sys.exit(subprocess.call([*inside, *again]))
    assert subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout == ""
    with tempfile.TemporaryDirectory(prefix="room-", dir=os.environ.get("TMPDIR")) as temporary:
        room = Path(temporary)
        (room / "home").mkdir()
        clean = {"HOME": str(room / "home"), "PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull}
        started = time.perf_counter()
        subprocess.run(["tar", "-xf", archive], cwd=room, check=True)
        (bundle,) = room.glob("dmlteach-*")
        print(f"unpacked in {time.perf_counter() - started:.0f} s", flush=True)
        started = time.perf_counter()
        python = {"PYTHON": sys.executable}  # its version is that of the bundle made here
        subprocess.run(["sh", str(bundle / "install.sh")], cwd=room, env=clean | python, check=True)
        print(f"installed in {time.perf_counter() - started:.0f} s", flush=True)
        subprocess.run(["du", "-sh", str(bundle)], check=True)
        with lab(bundle, room, clean) as address:
            answer_first_exercise(address)
        command = [str(bundle / ".venv" / "bin" / "dmlteach"), "progress"]
        kept = subprocess.run(command, cwd=room, env=clean, check=True, capture_output=True, text=True).stdout
        print(next(line for line in kept.splitlines() if "Recall@1 in three lines" in line))


@contextmanager
def lab(bundle: Path, room: Path, clean: dict[str, str]) -> Iterator[str]:
    """`dmlteach lab` of the bundle, as a student starts it; yields its address."""
    command = [str(bundle / ".venv" / "bin" / "dmlteach"), "lab", "--no-browser", f"--port={PORT}"]
    server = subprocess.Popen(
        command, cwd=room, env={**clean, "JUPYTER_TOKEN": TOKEN}, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(f"http://127.0.0.1:{PORT}/api", server)
        yield f"http://127.0.0.1:{PORT}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)  # with JupyterLab, which ends its kernels
        server.wait(20)


def answer_first_exercise(address: str) -> None:
    """Run chapter 00, write the right answer into the cell of its first exercise, and run that."""
    from playwright.sync_api import expect, sync_playwright

    from dmlteach.course.exercises import get
    from tests.browser.conftest import FLAGS

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        run_all(page, f"{address}/doc/tree/notebooks/start_here.ipynb?token={TOKEN}")
        scroll_to(page, f".jp-CodeCell:has-text('check(\"{EXERCISE}\"')")
        cell = page.locator(".jp-CodeCell", has_text=f'check("{EXERCISE}"')
        expect(cell.locator(".jp-OutputArea")).to_contain_text("answer", timeout=300_000)
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(f'{get(EXERCISE).solution}\n\ncheck("{EXERCISE}", answer)')
        page.keyboard.press("Shift+Enter")
        expect(cell.locator(".jp-OutputArea")).to_contain_text("✓", timeout=300_000)
        print(f"JupyterLab says: {cell.locator('.jp-OutputArea').inner_text().strip().splitlines()[0]}")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
