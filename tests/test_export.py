"""An exported model runs where dmlteach is not, and gives the library's embeddings."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from dmlteach import export, models
from dmlteach.data import load, pictures
from dmlteach.embeddings import embed
from dmlteach.errors import DMLTeachError

# What somebody without dmlteach writes: files in, embeddings out, by the words of the JSON file.
ELSEWHERE = """
import json, sys
sys.modules["dmlteach"] = None  # importing it raises ImportError
import numpy as np
import torch

program, images, output = sys.argv[1:]
program = torch.export.load(program).module()
pixels = torch.from_numpy(np.load(images))
with torch.no_grad():
    parts = [program(part) for part in pixels.split([1, 7, len(pixels) - 8])]
try:
    import dmlteach
except ImportError:
    np.save(output, torch.cat(parts).numpy())
"""


def run_elsewhere(program: Path, pixels: np.ndarray) -> torch.Tensor:
    """Embeddings by a second process, in batches of 1, 7 and the rest."""
    folder = program.parent
    np.save(folder / "images.npy", pixels)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    arguments = [str(program), str(folder / "images.npy"), str(folder / "z.npy")]
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return torch.from_numpy(np.load(folder / "z.npy"))


def with_statistics(model: models.Model) -> models.Model:
    """Batch norms that have seen something: their statistics must travel too."""
    generator = torch.Generator().manual_seed(0)
    for norm in model.batch_norms():
        assert isinstance(norm, nn.BatchNorm2d)
        norm.running_mean.normal_(0, 0.1, generator=generator)
        norm.running_var.uniform_(0.5, 1.5, generator=generator)
    return model


HEADS = {
    "sphere": {"normalize": True},
    "cascade": {"head": "cascade"},
    "bier": {"head": "bier", "head_options": {"diversity": "adversarial"}},
}


@pytest.mark.parametrize("head", HEADS)
def test_drawings_get_the_librarys_embeddings_without_the_library(tmp_path, head):
    model = models.create("omniglot_cnn", 48, **HEADS[head]).train()
    export.write(model, tmp_path / "model.pt2")
    assert model.training and next(model.parameters()).requires_grad  # it is as it was
    drawings = load("omniglot", "test", classes=2)
    expected = embed(model, drawings, "cpu")
    side = model.spec.image_size
    found = [torch.nn.functional.interpolate(image[None], (side, side), mode="bilinear", antialias=True)
             for image, _ in drawings]  # fmt: skip
    z = run_elsewhere(tmp_path / "model.pt2", torch.cat(found).numpy())
    assert z.dtype == torch.float32
    torch.testing.assert_close(z, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("keep_aspect", [False, True], ids=["squashed", "cut"])
def test_photographs_prepared_as_the_description_says_get_them_too(tmp_path, keep_aspect):
    model = models.create("resnet18", 16, normalize=True, image_size=56, keep_aspect=keep_aspect)
    description = json.loads(export.write(with_statistics(model), tmp_path / "model.pt2").read_text())
    noise = np.random.default_rng(0).integers(0, 256, (10, 12, 24, 3), dtype=np.uint8)
    for i, pixels in enumerate(noise):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.fromarray(pixels).resize((192, 96)).save(tmp_path / "photos" / f"{i}.png")
    expected = embed(model, pictures.load(tmp_path / "photos"), "cpu")

    assert (
        "resize " + ("the short side to 64" if keep_aspect else "to 64 x 64")
        in description["input"]["prepare"]
    )
    prepared = []
    for i in range(10):
        image = torch.from_numpy(np.array(Image.open(tmp_path / "photos" / f"{i}.png"))).permute(2, 0, 1)[
            None
        ]
        size = (64, 128) if keep_aspect else (64, 64)
        image = torch.nn.functional.interpolate(image, size, mode="bilinear", antialias=True)
        top, left = (image.shape[2] - 56) // 2, (image.shape[3] - 56) // 2
        prepared.append(image[:, :, top : top + 56, left : left + 56])
    z = run_elsewhere(tmp_path / "model.pt2", torch.cat(prepared).numpy())
    torch.testing.assert_close(z, expected, rtol=0, atol=1e-5)


def test_the_description_says_what_goes_in_and_comes_out(tmp_path):
    description = export.write(models.pretrained("sst"), tmp_path / "new" / "sst.pt2")
    assert sorted(path.name for path in description.parent.iterdir()) == ["sst.pt2", "sst.pt2.json"]
    said = json.loads(description.read_text())
    assert (said["input"]["dtype"], said["input"]["shape"]) == ("uint8", ["N", 1, 28, 28])
    assert said["output"] == {"dtype": "float32", "shape": ["N", 128], "compare by": "Euclidean distance"}
    images = torch.zeros(3, 1, 28, 28, dtype=torch.uint8)
    names = {"torch": torch, "images": images}
    exec(said["use"].replace("sst.pt2", (tmp_path / "new" / "sst.pt2").as_posix()), names)
    assert names["embeddings"].shape == (3, 128)


def test_a_program_refuses_images_of_another_kind(tmp_path):
    export.write(models.create("omniglot_cnn", 8), tmp_path / "model.pt2")
    program = torch.export.load(tmp_path / "model.pt2").module()
    with pytest.raises(RuntimeError, match="dtype"):
        program(torch.zeros(3, 1, 28, 28))  # floats in 0 … 1 would give nonsense
    with pytest.raises(AssertionError):
        program(torch.zeros(3, 1, 32, 32, dtype=torch.uint8))


def test_nothing_of_this_computer_is_in_the_file(tmp_path):
    export.write(models.create("omniglot_cnn", 8, normalize=True), tmp_path / "model.pt2")
    home = str(Path(torch.__file__).parent).encode()
    with zipfile.ZipFile(tmp_path / "model.pt2") as file:
        assert not any(home in file.read(name) for name in file.namelist())


def test_a_network_that_cannot_be_followed_is_one_error_and_no_file(tmp_path):
    class Undecided(nn.Module):
        def forward(self, images):
            return images.flatten(1) if images.sum() > 0 else -images.flatten(1)  # depends on the values

    model = models.create("omniglot_cnn", 8)
    model.backbone = Undecided()
    with pytest.raises(DMLTeachError, match="cannot follow omniglot_cnn"):
        export.write(model, tmp_path / "model.pt2")
    with pytest.raises(DMLTeachError, match=r"\*\.pt2, not 'model.onnx'"):
        export.write(model, "model.onnx")
    assert list(tmp_path.iterdir()) == []
