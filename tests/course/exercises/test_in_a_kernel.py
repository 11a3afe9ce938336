"""The same in a Jupyter kernel: shown once, cells named by their number, loops stopped."""

import os

import pytest

from dmlteach.course import execute
from dmlteach.course.exercises import progress

jupyter_client = pytest.importorskip("jupyter_client")


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    file = tmp_path_factory.mktemp("kernel") / "progress.json"
    with execute.kernel_of_this_python(threads=1):
        manager, client = jupyter_client.manager.start_new_kernel(
            kernel_name=execute.KERNEL, env={**os.environ, progress.VARIABLE: str(file)}
        )
    run(client, "from dmlteach.course.exercises import check, hint")
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client, code: str) -> list[dict]:
    """Outputs of a cell, in the order they come."""
    outputs: list[dict] = []
    client.execute_interactive(code, timeout=300, output_hook=outputs.append)
    kinds = ("stream", "display_data", "execute_result", "error")
    return [{"kind": m["msg_type"], **m["content"]} for m in outputs if m["msg_type"] in kinds]


def test_a_reply_is_shown_once_even_as_the_value_of_its_cell(kernel):
    outputs = run(kernel, "check('before.softmax', 0.5)")
    assert [output["kind"] for output in outputs] == ["display_data"]
    assert outputs[0]["data"]["text/plain"].startswith("Exercise 00.7 · Softmax: right")
    assert "<strong>right</strong>" in outputs[0]["data"]["text/html"]


def test_a_kept_reply_can_be_shown_again_in_another_cell(kernel):
    assert len(run(kernel, "reply = check('before.softmax', 1)")) == 1
    assert [output["kind"] for output in run(kernel, "reply")] == ["display_data"]


def test_without_an_answer_one_line_is_printed(kernel):
    outputs = run(kernel, "answer = ...\ncheck('before.softmax', answer)")
    assert [(o["kind"], o.get("text")) for o in outputs] == [
        ("stream", "Exercise 00.7 · Softmax: not answered yet\n")
    ]


def test_a_hint_is_markdown(kernel):
    (output,) = run(kernel, "hint('before.softmax')")
    assert output["data"]["text/markdown"].startswith("**Exercise 00.7 · Softmax: hint 1 of 2**")


def test_an_exception_names_the_cell_and_the_line(kernel):
    (output,) = run(kernel, "def answer(a, p):\n    return a / nothing\ncheck('sst.resting_place', answer)")
    text = output["data"]["text/plain"]
    assert "NameError: name 'nothing' is not defined, in cell In[" in text
    assert "], line 2: return a / nothing" in text and "Traceback" not in text


def test_its_progress_goes_where_the_environment_says(kernel):
    run(kernel, "check('before.softmax', 0.5)")
    (output,) = run(kernel, "from dmlteach.course.exercises import progress\nprint(progress.file().exists())")
    assert output["text"] == "True\n"


def test_a_loop_without_end_is_stopped_and_its_prints_appear(kernel):
    code = (
        "from dmlteach.course.exercises import answers\n"
        "answers.LIMIT = 0.5\n"
        "def answer(a, p):\n"
        "    print('at work')\n"
        "    while True:\n"
        "        pass\n"
        "check('sst.resting_place', answer)"
    )
    printed, reply = run(kernel, code)
    assert printed["text"] == "at work\n"
    assert "your code was stopped after 0.5 s, in cell In[" in reply["data"]["text/plain"]
    assert [o["text"] for o in run(kernel, "print('goes on')")] == ["goes on\n"]
