"""The plain torchvision pipelines and the cache with on-device augmentation make the same pictures."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from dmlteach.data import Augmentation, cached, load, transforms

MEAN, STD = transforms.IMAGENET_MEAN, transforms.IMAGENET_STD
LEVEL = 1 / 255 / min(STD)  # one grey level after normalisation


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Smooth colour pictures of several shapes, four classes."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in "abcd":
        (root / name).mkdir()
        for i in range(2):
            coarse = Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8))
            size = tuple(rng.integers(200, 400, 2).tolist())
            coarse.resize(size, Image.Resampling.BICUBIC).save(root / name / f"{i}.jpg")
    return load("folder", "train", root)


def test_the_test_transform_is_the_same(photos, tmp_path):
    images = cached(photos, 256, folder=tmp_path).gather(range(len(photos)))
    ours = Augmentation("none", 224, MEAN, STD).apply(images, torch.empty(len(photos), 0))
    plain = transforms.test_transform()
    apart = (ours - torch.stack([plain(image) for image, _ in photos])).abs()
    assert apart.max() <= 1.01 * LEVEL  # torch's two ways to resize bytes round alike on some processors only
    assert (apart > 1e-5).float().mean() < 0.5
    for i, file in enumerate(photos.source.files):  # Pillow may round a level differently
        assert (ours[i] - plain(Image.open(file.path))).abs().max() <= 1.01 * LEVEL


@pytest.mark.parametrize("flip", [False, True])
def test_the_training_transform_is_the_same_for_the_same_box(photos, tmp_path, monkeypatch, flip):
    top, left = 5, 30
    crop = {
        "top": top,
        "left": left,
        "height": 224,
        "width": 224,
        "needs_crop": True,
        "needs_pad": False,
        "padding": None,
    }
    plain = transforms.train_transform()
    for step in plain.transforms:
        if isinstance(step, v2.RandomCrop):
            monkeypatch.setattr(step, "make_params", lambda inputs: crop)
        if isinstance(step, v2.RandomHorizontalFlip):
            step.p = float(flip)
    images = cached(photos, 256, folder=tmp_path).gather(range(len(photos)))
    params = torch.tensor([[(top + 0.5) / 33, (left + 0.5) / 33, 0.0 if flip else 0.9]]).expand(
        len(photos), 3
    )
    ours = Augmentation("crop", 224, MEAN, STD).apply(images, params)
    for i, file in enumerate(photos.source.files):
        assert (ours[i] - plain(Image.open(file.path))).abs().max() <= 2 * LEVEL
