"""What the page about parts of one's own says works: its files are written, and its commands run."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dmlteach.cli import app
from tests.train.pictures import flat_colors

PAGE = (Path(__file__).parent.parent / "docs" / "own_parts.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL))
SECTIONS = [
    section for section in re.split(r"^(?=###? )", PAGE, flags=re.MULTILINE) if "\n```sh\n" in section
]


def title(section):
    return section.partition("\n")[0].strip("# ")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the page's files, and a list of pictures of six classes."""
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    flat_colors(tmp_path / "my_images", classes=8, images=6)
    rows = ["file,class,split"]
    for file in sorted((tmp_path / "my_images").rglob("*.png")):
        number = int(file.parent.name.removeprefix("class"))
        rows.append(f"{file.parent.name}/{file.name},{file.parent.name},{'train' if number % 2 else 'test'}")
    (tmp_path / "my_images" / "images.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_the_page_has_an_example_of_each_part():
    assert sorted(FILES) == ["my_data.py", "my_loss.py", "my_network.py", "my_sampler.py"]
    assert len(SECTIONS) == 5


@pytest.mark.parametrize("section", SECTIONS, ids=title)
def test_the_commands_of_a_section_run(section, place):
    (block,) = re.findall(r"^```sh\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
    for command in block.splitlines():
        program, *arguments = shlex.split(command)
        assert program == "dmlteach"
        progress = ["--no-progress"] if arguments[0] == "train" else []
        done = CliRunner().invoke(app, [*arguments, *progress])
        assert done.exit_code == 0, done.output
        assert "recall@1" in done.output


def test_a_sampler_of_the_page_makes_batches_of_pairs(place):
    import torch

    from dmlteach import samplers

    labels = torch.arange(20).repeat_interleave(6)
    sampler = samplers.create("my_sampler.py:TwoAlike", labels, batch_size=16, seed=0)
    batches = list(sampler)
    assert len(batches) == 7
    assert all(labels[list(batch)].unique(return_counts=True)[1].min() >= 2 for batch in batches)
