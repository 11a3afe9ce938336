import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from scipy import stats
from torchvision.transforms import RandomResizedCrop

from dmlteach.data import Augmentation, Packed
from dmlteach.errors import DMLTeachError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(n: int, channels: int, side: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, (n, channels, side, side), generator=seeded(seed), dtype=torch.uint8)


def pack(images: list[torch.Tensor], short_side: int = 32) -> Packed:
    """Pictures (C, H, W) as the cache packs them."""
    flat = [image.permute(1, 2, 0).flatten() for image in images]
    lengths = torch.tensor([len(f) for f in flat])
    sizes = torch.tensor([image.shape[1:] for image in images])
    return Packed(torch.cat(flat), lengths.cumsum(0) - lengths, sizes, len(images[0]), short_side)


def smooth_photos() -> list[torch.Tensor]:
    """(3, H, W) of many shapes; random pixels, where a shift by one pixel shows at once."""
    shapes = [(32, 48), (50, 32), (32, 32), (200, 32), (32, 150), (7, 9), (1, 1), (33, 32)]
    return [
        torch.randint(0, 256, (3, *s), generator=seeded(i), dtype=torch.uint8) for i, s in enumerate(shapes)
    ]


# ---- what is drawn ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["crop", "drawing", "none"])
def test_equal_seeds_give_equal_pictures_and_micro_batches_take_their_rows(kind):
    images = random_images(10, 3, 32)
    augmentation = Augmentation(kind, 24, (0.5,) * 3, (0.2,) * 3)
    whole = augmentation.apply(images, augmentation.draw(10, seeded(5)))
    params = augmentation.draw(10, seeded(5))
    parts = [augmentation.apply(images[rows], params[rows]) for rows in (slice(0, 3), slice(3, 10))]
    assert whole.shape == (10, 3, 24, 24) and whole.dtype == torch.float32
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("kind", ["crop", "drawing", "none", "resized_crop"])
def test_in_float64_it_makes_the_same_pictures_with_more_digits(kind):
    packed = kind == "resized_crop"
    images = pack(smooth_photos()) if packed else random_images(10, 3, 32)
    found = {}
    for dtype in (torch.float32, torch.float64):
        augmentation = Augmentation(kind, 16 if packed else 24, (0.485,) * 3, (0.229,) * 3, dtype=dtype)
        found[dtype] = augmentation.apply(images, augmentation.draw(len(images), seeded(5)))
        assert found[dtype].dtype == dtype
    torch.testing.assert_close(found[torch.float64].float(), found[torch.float32], rtol=1e-4, atol=2e-4)
    assert not torch.equal(found[torch.float64].float().double(), found[torch.float64])


def test_packed_pictures_do_not_depend_on_the_others_in_the_batch():
    photos = smooth_photos()
    augmentation = Augmentation("resized_crop", 16)
    params = augmentation.draw(len(photos), seeded())
    whole = augmentation.apply(pack(photos), params)
    assert torch.allclose(whole[2:4], augmentation.apply(pack(photos[2:4]), params[2:4]), atol=1e-6)


def test_other_seeds_give_other_pictures():
    images = random_images(4, 1, 28)
    augmentation = Augmentation("drawing", 28)
    one, two = (augmentation.apply(images, augmentation.draw(4, seeded(s))) for s in (0, 1))
    assert not torch.allclose(one, two)


# ---- crop ------------------------------------------------------------------------------------


def test_crops_are_exact_copies_at_every_place_flipped_half_of_the_time():
    picture = torch.arange(36, dtype=torch.uint8).view(1, 1, 6, 6)
    augmentation = Augmentation("crop", 4)
    found = augmentation.apply(picture.expand(3000, -1, -1, -1), augmentation.draw(3000, seeded())) * 255
    windows = {
        (top, left, flip): (w.flip(2) if flip else w)
        for top in range(3)
        for left in range(3)
        for flip in (False, True)
        for w in [picture[0, :, top : top + 4, left : left + 4].float()]
    }
    counts = {key: int((found - w).abs().amax((1, 2, 3)).lt(1e-3).sum()) for key, w in windows.items()}
    assert sum(counts.values()) == 3000  # nothing else occurs
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3  # all equally often


def test_a_crop_of_the_whole_picture_is_the_picture_or_its_mirror_image():
    images = random_images(8, 3, 16)
    augmentation = Augmentation("crop", 16)
    found = (augmentation.apply(images, augmentation.draw(8, seeded())) * 255).round().byte()
    mirrored = [torch.equal(f, i.flip(2)) for f, i in zip(found, images, strict=True)]
    same = [torch.equal(f, i) for f, i in zip(found, images, strict=True)]
    assert any(mirrored) and any(same) and all(m != s for m, s in zip(mirrored, same, strict=True))


def test_the_largest_random_number_stays_inside_the_picture():
    images = random_images(1, 1, 60)
    augmentation = Augmentation("crop", 28)
    almost_one = torch.tensor([[1 - 2**-24] * 3])
    found = (augmentation.apply(images, almost_one) * 255).round().byte()
    assert torch.equal(found, images[:, :, 32:, 32:])


# ---- drawing ---------------------------------------------------------------------------------


def drawing_params(degrees=0.5, zoom=0.5, right=0.5, down=0.5) -> torch.Tensor:
    """One row; 0.5 is the middle of each range: no change."""
    return torch.tensor([[degrees, zoom, right, down]])


@pytest.fixture
def blob():
    """A bright spot left of and above the middle of a black 28 × 28 drawing."""
    image = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    image[:, :, 6:9, 9:12] = 255
    return image


def centre_of(image: torch.Tensor) -> tuple[float, float]:
    """(x, y) in pixels from the middle of the picture."""
    weight = image[0, 0] / image.sum()
    axis = torch.arange(image.shape[-1]) - (image.shape[-1] - 1) / 2
    return float((weight.sum(0) * axis).sum()), float((weight.sum(1) * axis).sum())


def test_the_middle_of_every_range_changes_nothing(blob):
    found = Augmentation("drawing", 28).apply(blob, drawing_params())
    assert torch.allclose(found, blob / 255, atol=1e-4)


def test_shift_moves_by_up_to_two_of_28_pixels_right_and_down(blob):
    x, y = centre_of(blob.float())
    found = Augmentation("drawing", 28).apply(blob, drawing_params(right=1.0, down=0.0))
    assert centre_of(found) == pytest.approx((x + 2, y - 2), abs=1e-3)


def test_zoom_and_rotation_are_about_the_middle(blob):
    x, y = centre_of(blob.float())
    larger = Augmentation("drawing", 28).apply(blob, drawing_params(zoom=1.0))
    assert centre_of(larger) == pytest.approx((1.1 * x, 1.1 * y), abs=0.15)
    turned = Augmentation("drawing", 28, degrees=90.0).apply(blob, drawing_params(degrees=1.0))
    turned_exactly = (torch.rot90(blob, k, (2, 3)) / 255 for k in (1, 3))
    assert any(torch.allclose(turned, expected, atol=1e-3) for expected in turned_exactly)


def test_a_drawing_stays_within_the_stated_ranges(blob):
    augmentation = Augmentation("drawing", 28)
    found = augmentation.apply(blob.expand(500, -1, -1, -1), augmentation.draw(500, seeded()))
    x, y = centre_of(blob.float())
    centres = np.array([centre_of(f[None]) for f in found])
    furthest = np.hypot(centres[:, 0] - x, centres[:, 1] - y).max()
    radius = np.hypot(x, y)
    assert 1.5 < furthest < np.hypot(2, 2) + radius * (0.1 + np.radians(10)) + 0.2


# ---- resized_crop ----------------------------------------------------------------------------


def test_boxes_are_distributed_as_torchvisions():
    """Top, left, height and width of both, for a picture where every branch of the choice is used."""
    size, scale, ratio, n = (60, 200), (0.1, 1.0), (0.75, 4 / 3), 4000
    augmentation = Augmentation("resized_crop", 16, scale=scale, ratio=ratio)
    boxes = augmentation.boxes(torch.tensor([size]).expand(n, 2), augmentation.draw(n, seeded()))
    torch.manual_seed(0)
    blank = torch.empty(1, *size)
    expected = torch.tensor([RandomResizedCrop.get_params(blank, scale, ratio) for _ in range(n)])
    for column in range(4):
        assert stats.ks_2samp(boxes[:, column], expected[:, column], method="asymp").pvalue > 1e-3
    central = [60, 80]  # no box fitted: as high as the picture and 4 / 3 as wide
    shares = [(b[:, 2:] == torch.tensor(central)).all(1).double().mean().item() for b in (boxes, expected)]
    assert 0.05 < shares[0] < 0.8 and shares[0] == pytest.approx(shares[1], abs=0.03)


@pytest.mark.parametrize(
    "size, box", [((10, 100), [0, 43, 10, 13]), ((100, 10), [43, 0, 13, 10]), ((1, 1), None)]
)
def test_pictures_in_which_nothing_fits_get_the_central_box(size, box):
    augmentation = Augmentation("resized_crop", 16, scale=(1.0, 1.0))
    found = augmentation.boxes(torch.tensor([size]), augmentation.draw(1, seeded()))
    assert found[0].tolist() == (box or [0, 0, 1, 1])


def test_resized_crops_equal_torchvisions_for_the_same_boxes():
    photos = smooth_photos()
    augmentation = Augmentation("resized_crop", 24, (0.4,) * 3, (0.3,) * 3)
    params = augmentation.draw(len(photos), seeded(1))
    params[:, -1] = torch.tensor([0.1, 0.9]).repeat(4)  # flip every other one
    found = augmentation.apply(pack(photos), params) * 0.3 + 0.4
    for i, (top, left, height, width) in enumerate(augmentation.boxes(pack(photos).sizes, params).tolist()):
        expected = tv.resized_crop(photos[i], top, left, height, width, [24, 24], antialias=False)
        expected = expected.flip(2) if i % 2 == 0 else expected
        assert (found[i] * 255 - expected).abs().max() <= 2


# ---- none ------------------------------------------------------------------------------------


@pytest.mark.parametrize("side, size", [(256, 224), (29, 28), (31, 28), (28, 28)])
def test_none_is_torchvisions_centre_crop(side, size):
    images = random_images(2, 3, side)
    found = Augmentation("none", size).apply(images, torch.empty(2, 0))
    assert torch.allclose(found, tv.center_crop(images, [size]) / 255, atol=1e-6)


def test_none_on_packed_pictures_is_the_centre_crop_of_the_short_side():
    photos = [image for image in smooth_photos() if min(image.shape[1:]) == 32]
    found = Augmentation("none", 28).apply(pack(photos), torch.empty(len(photos), 0))
    expected = torch.stack([tv.center_crop(image, [28]) for image in photos]) / 255
    assert torch.allclose(found, expected, atol=1e-5)


def test_mean_and_standard_deviation_are_per_channel():
    images = random_images(3, 3, 8)
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
    found = Augmentation("none", 8, mean, std).apply(images, torch.empty(3, 0))
    assert torch.allclose(found, tv.normalize(images / 255, mean, std), atol=1e-5)


# ---- mistakes --------------------------------------------------------------------------------


def test_mistakes_are_told_with_their_cure():
    images = random_images(2, 1, 28)
    with pytest.raises(DMLTeachError, match="did you mean 'crop'"):
        Augmentation("corp", 28)
    with pytest.raises(DMLTeachError, match="does not fit into images of 28.*cached"):
        Augmentation("none", 32).apply(images, torch.empty(2, 0))
    with pytest.raises(DMLTeachError, match="mode='short_side'"):
        Augmentation("resized_crop", 16).apply(images, torch.rand(2, 23))
    with pytest.raises(DMLTeachError, match="mode='square'"):
        Augmentation("crop", 16).apply(pack(smooth_photos()), torch.rand(8, 3))
    with pytest.raises(DMLTeachError, match="one row of 3 numbers an image"):
        Augmentation("crop", 16).apply(images, torch.rand(3, 3))


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["crop", "drawing", "none", "resized_crop"])
def test_a_gpu_gives_the_pictures_of_the_cpu(kind):
    augmentation = Augmentation(kind, 24, (0.5,) * 3, (0.2,) * 3)
    images = pack(smooth_photos()) if kind == "resized_crop" else random_images(8, 3, 32)
    params = augmentation.draw(8, seeded())
    on_gpu = augmentation.apply(images.to("cuda"), params).cpu()
    assert (augmentation.apply(images, params) - on_gpu).abs().max() < 1e-3
