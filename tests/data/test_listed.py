"""Data sets with official lists, each as a complete miniature in its official layout."""

import shutil

import pytest
import torch
from typer.testing import CliRunner

from dmlteach.cli import app
from dmlteach.data import cached, check, load, load_test, names
from dmlteach.errors import DMLTeachError
from tests.data.miniatures import MODULES, WRITERS

SETS = ["cars196", "cars196 devkit", "sop", "inshop", "domainnet"]  # cub200 has its own, whole-size tests
A_PICTURE = {
    "cars196": "car_ims/000001.jpg",
    "cars196 devkit": "cars_train/00001.jpg",
    "sop": "Stanford_Online_Products/bicycle_final/111085122_1.JPG",
    "inshop": "img/WOMEN/Dresses/id_00000001/02_1_front.jpg",
    "domainnet": "real/airplane/real_002_000004.jpg",
}
A_LIST = {
    "cars196": "cars_annos.mat",
    "cars196 devkit": "devkit/cars_train_annos.mat",
    "sop": "Stanford_Online_Products/Ebay_train.txt",
    "inshop": "list_eval_partition.txt",
    "domainnet": "real_train.txt",
}


@pytest.fixture(params=SETS)
def copy(request, layouts, small, tmp_path):
    """Kind and name of a miniature, and a copy of its folder to do things to."""
    small(request.param)
    folder = tmp_path / "copy"
    shutil.copytree(layouts(request.param), folder)
    return request.param, request.param.split()[0], folder


def test_every_listed_data_set_has_a_miniature():
    assert {kind.split()[0] for kind in WRITERS} == set(MODULES) == set(names()) - {"omniglot", "folder"}


def test_check_finds_it_complete_and_every_picture_is_decoded(copy):
    _, name, folder = copy
    report = check(name, folder)
    assert report.ok, str(report)
    train = load(name, "train", folder)
    squares = cached(train, 4, folder=folder.parent / "cache", progress=False).gather(range(len(train)))
    assert squares.shape == (len(train), 3, 4, 4)
    assert not train.shareable
    assert train.labels.unique().tolist() == list(range(train.num_classes))


def test_fit_and_val_share_no_class_and_make_up_train(copy):
    _, name, folder = copy
    fit, val, train = (load(name, split, folder, val_fraction=0.5) for split in ("fit", "val", "train"))
    assert len(fit) + len(val) == len(train)
    assert sorted(fit.class_names + val.class_names) == sorted(train.class_names)


def test_a_missing_and_an_empty_picture_are_named(copy):
    kind, name, folder = copy
    lost = folder / A_PICTURE[kind]
    empty = next(path for path in sorted(lost.parent.iterdir()) if path != lost)
    lost.unlink()
    empty.write_bytes(b"")
    report = check(name, folder)
    assert not report.ok
    assert "images missing or empty" in str(report)
    with pytest.raises(DMLTeachError) as error:
        load(name, "train", folder)
    for text in (str(report), str(error.value)):
        assert lost.name in text or empty.name in text
    assert f"`dmlteach data get {name}" in str(error.value)


def test_other_counts_than_the_published_are_said(copy, monkeypatch):
    _, name, folder = copy
    monkeypatch.undo()  # the published counts again
    with pytest.raises(DMLTeachError, match="are listed, published are"):
        load(name, "train", folder)
    assert "are listed, published are" in str(check(name, folder))


def test_a_damaged_list_is_one_clear_error(copy):
    kind, name, folder = copy
    path = folder / A_LIST[kind]
    for content in (b"one\ntwo\nthree four\n", b"\0\xff" * 500, path.read_bytes()[:300]):
        path.write_bytes(content)
        with pytest.raises(DMLTeachError) as error:
            load(name, "train", folder)
        assert path.name in str(error.value) or "listed" in str(error.value)


def test_a_picture_that_is_listed_twice_is_told(copy):
    kind, name, folder = copy
    path = folder / A_LIST[kind]
    if path.suffix != ".txt":
        return  # the annotations of cars
    lines = path.read_text().splitlines(keepends=True)
    lines[-1] = lines[-2]
    path.write_text("".join(lines))
    with pytest.raises(DMLTeachError, match="1 images are listed more than once"):
        for split in ("train", "test"):
            load(name, split, folder)


@pytest.mark.parametrize("number", ["²", "١", "9" * 5000, "-1", "1.0", "nan"])
def test_a_label_that_is_no_plain_number_is_told(layouts, small, tmp_path, number):
    small("domainnet")
    folder = shutil.copytree(layouts("domainnet"), tmp_path / "copy")
    (folder / "real_train.txt").write_text(f"real/airplane/a.jpg {number}\n")
    with pytest.raises(DMLTeachError, match=r"real_train\.txt is damaged"):
        load("domainnet", "train", folder)


def test_a_picture_of_domainnet_in_no_folder_is_told(layouts, small, tmp_path):
    small("domainnet")
    folder = shutil.copytree(layouts("domainnet"), tmp_path / "copy")
    (folder / "real_train.txt").write_text("a.jpg 1\n")
    with pytest.raises(DMLTeachError, match=r"real_train\.txt is damaged: 'a\.jpg' lies in no folder"):
        load("domainnet", "train", folder)


def test_a_missing_list_is_named(copy):
    kind, name, folder = copy
    (folder / A_LIST[kind]).unlink()
    with pytest.raises(DMLTeachError) as error:
        load(name, "train", folder)
    assert A_LIST[kind].rpartition("/")[2] in str(error.value)
    assert "Expected is" in str(error.value)


@pytest.mark.parametrize("name", sorted(MODULES))
@pytest.mark.parametrize("root", [None, "nowhere", "empty"])
def test_a_missing_root_says_what_is_expected(name, root, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DMLTeachError, match="Expected is"):
        load(name, "train", root and tmp_path / root)


def test_a_folder_is_found_from_inside_and_from_above(copy):
    _, name, folder = copy
    above = {"sop": "Stanford_Online_Products", "inshop": "In-shop Clothes Retrieval Benchmark"}
    wanted = above.get(name, name)
    inside = folder / wanted
    if not inside.is_dir():
        shutil.move(folder, folder.parent / "aside")
        folder.mkdir()
        shutil.move(folder.parent / "aside", inside)
    found = [[f.name for f in load(name, "train", root).source.files] for root in (folder, inside)]
    assert found[0] == found[1]


def test_check_by_command_tells_complete_from_not(copy):
    kind, name, folder = copy
    complete = CliRunner().invoke(app, ["data", "check", name, "--root", str(folder)])
    assert complete.exit_code == 0 and f"{name}: complete" in complete.output
    (folder / A_PICTURE[kind]).unlink()
    broken = CliRunner().invoke(app, ["data", "check", name, "--root", str(folder)])
    assert broken.exit_code == 1
    assert "NOT complete" in broken.output and "1 images missing" in broken.output


def test_the_standard_test_is_one_set_or_queries_and_gallery(copy):
    _, name, folder = copy
    queries, gallery = load_test(name, folder)
    if name == "inshop":
        assert (queries.split, gallery.split) == ("query", "gallery")
        assert queries.class_names == gallery.class_names
    else:
        assert (queries.split, gallery) == ("test", None)


@pytest.mark.parametrize("name", ["cars196", "sop", "cub200", "folder"])
def test_without_queries_and_gallery_the_error_says_how_it_is_tested(name):
    with pytest.raises(DMLTeachError, match=r"no split 'gallery'.*all others.*train, test, fit, val"):
        load(name, "gallery", "anywhere")


def test_an_unknown_split_lists_those_there_are():
    with pytest.raises(DMLTeachError, match=r"unknown split 'galery'; did you mean 'gallery'"):
        load("inshop", "galery", "anywhere")


# ── one by one ────────────────────────────────────────────────────────────────────────────────────────


def test_cars_are_divided_by_class_not_by_the_devkits_test_images(layouts, small):
    small("cars196")
    for kind in ("cars196", "cars196 devkit"):
        train, test = (load("cars196", split, layouts(kind)) for split in ("train", "test"))
        assert train.class_names == [f"Maker Model {c} 2012" for c in range(1, 99)]
        assert test.class_names == [f"Maker Model {c} 2012" for c in range(99, 197)]
        assert train.labels.bincount().tolist() == test.labels.bincount().tolist() == [2] * 98


def test_both_layouts_of_cars_give_each_picture_its_class(layouts, small):
    small("cars196")
    one = load("cars196", "test", layouts("cars196"))
    numbers = [int(file.name[8:14]) - 1 for file in one.source.files]
    assert one.labels.tolist() == [number % 196 - 98 for number in numbers]
    other = load("cars196", "test", layouts("cars196 devkit"))
    assert [file.name.split("/")[0] for file in other.source.files] == ["cars_train"] * 98 + [
        "cars_test"
    ] * 98
    assert other.labels.tolist() == [*range(98), *range(98)]


def test_folders_of_cars_inside_folders_of_the_same_name_are_found(layouts, small, tmp_path):
    small("cars196")
    for part in ("cars_train", "cars_test"):
        shutil.copytree(layouts("cars196 devkit") / part, tmp_path / part / part)
    shutil.copytree(layouts("cars196 devkit") / "devkit", tmp_path / "devkit")
    annotations = "cars_test_annos_withlabels.mat"
    shutil.copy(layouts("cars196 devkit") / annotations, tmp_path / "devkit" / annotations)
    assert check("cars196", tmp_path).ok


def test_products_of_sop_are_named_by_category_and_number(layouts, small):
    small("sop")
    train, test = (load("sop", split, layouts("sop")) for split in ("train", "test"))
    assert train.class_names[:2] == ["coffee maker 111085121", "bicycle 111085122"]
    assert test.class_names == ["coffee maker 111085125", "bicycle 111085126", "coffee maker 111085127"]
    assert test.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_queries_and_gallery_of_inshop_share_one_index(layouts, small):
    small("inshop")
    root = layouts("inshop")
    query, gallery, both = (load("inshop", split, root) for split in ("query", "gallery", "test"))
    assert query.class_names == gallery.class_names == both.class_names
    assert query.class_names == ["id_00000002", "id_00000006", "id_00000007"]
    assert (query.labels.tolist(), gallery.labels.tolist()) == (
        [0, 0, 1, 1, 2, 2],
        [0, 0, 0, 1, 1, 1, 2, 2, 2],
    )
    assert not {f.name for f in query.source.files} & {f.name for f in gallery.source.files}
    assert load("inshop", "train", root).class_names[:2] == ["id_00000001", "id_00000003"]


def test_inshop_is_found_in_its_makers_folders(layouts, small, tmp_path):
    small("inshop")
    shutil.copytree(layouts("inshop") / "img", tmp_path / "Img" / "img")
    (tmp_path / "Eval").mkdir()
    shutil.copy(layouts("inshop") / "list_eval_partition.txt", tmp_path / "Eval")
    assert check("inshop", tmp_path).ok


def test_an_unknown_status_in_the_list_of_inshop_is_an_error(layouts, small, tmp_path):
    small("inshop")
    text = (layouts("inshop") / "list_eval_partition.txt").read_text().replace("gallery", "galery")
    (tmp_path / "list_eval_partition.txt").write_text(text)
    with pytest.raises(DMLTeachError, match=r"\['galery'\]"):
        load("inshop", "train", tmp_path)


def test_domains_of_domainnet_share_one_index(layouts, small):
    small("domainnet")
    root = layouts("domainnet")
    query = load("domainnet", "query", root)
    sketch = load("domainnet", "gallery", root, domain="sketch")
    assert all(file.name.startswith("real/") for file in query.source.files)
    assert all(file.name.startswith("sketch/") for file in sketch.source.files)
    assert query.class_names == sketch.class_names == ["aircraft carrier", "airplane", "t-shirt", "zigzag"]
    train = load("domainnet", "train", root)
    assert train.class_names == query.class_names and (len(train), len(query)) == (12, 8)
    reverse = (
        load("domainnet", "query", root, domain="sketch"),
        load("domainnet", "gallery", root, domain="real"),
    )
    assert torch.equal(reverse[0].labels, sketch.labels)
    assert [f.name for f in reverse[1].source.files] == [f.name for f in query.source.files]
    assert (
        load("domainnet", "gallery", root, domain="clipart", classes=2).class_names == query.class_names[:2]
    )


def test_a_gallery_of_domainnet_needs_a_domain_that_exists(layouts, small):
    small("domainnet")
    with pytest.raises(DMLTeachError, match="which gallery .* quickdraw"):
        load("domainnet", "gallery", layouts("domainnet"))
    with pytest.raises(DMLTeachError, match=r"unknown domain of 'domainnet' 'scetch'; did you mean 'sketch'"):
        load("domainnet", "gallery", layouts("domainnet"), domain="scetch")
    with pytest.raises(DMLTeachError, match="one domain only"):
        load("sop", "test", "anywhere", domain="sketch")


def test_one_domain_is_enough_to_load_it_and_check_names_the_others(layouts, small, tmp_path):
    small("domainnet")
    shutil.copytree(layouts("domainnet") / "real", tmp_path / "real")
    (tmp_path / "txt").mkdir()
    for half in ("train", "test"):
        shutil.copy(layouts("domainnet") / f"real_{half}.txt", tmp_path / "txt")
    assert len(load("domainnet", "test", tmp_path)) == 8
    report = check("domainnet", tmp_path)
    assert "real train: 12 of 12 images" in str(report)
    assert report.problems[0] == "quickdraw: quickdraw_train.txt and quickdraw_test.txt missing"
    with pytest.raises(DMLTeachError, match="sketch_test.txt is missing"):
        load("domainnet", "gallery", tmp_path, domain="sketch")


# ── the published size, without pictures ──────────────────────────────────────────────────────────────


def spread(images: int, classes: int) -> list[int]:
    """Class 0 … of each image, as evenly as can be."""
    return sorted(i % classes for i in range(images))


def test_lists_of_the_published_size_of_sop_fit_the_published_counts(tmp_path):
    for part, images, classes, first in [("train", 59_551, 11_318, 1), ("test", 60_502, 11_316, 11_319)]:
        lines = [
            f"{i} {first + c} 1 chair_final/{c}_{i}.JPG\n" for i, c in enumerate(spread(images, classes))
        ]
        (tmp_path / f"Ebay_{part}.txt").write_text("image_id class_id super_class_id path\n" + "".join(lines))
    report = check("sop", tmp_path)
    assert "train: 0 of 59,551 images, 11,318 classes" in report.found
    assert "test: 0 of 60,502 images, 11,316 classes" in report.found
    assert [p.partition(" images")[0] for p in report.problems] == ["train: 59,551", "test: 60,502"]


def test_a_list_of_the_published_size_of_inshop_fits_the_published_counts(tmp_path):
    lines = []
    for status, images, classes, first in [
        ("train", 25_882, 3_997, 0), ("query", 14_218, 3_985, 4_000), ("gallery", 12_612, 3_985, 4_000),
    ]:  # fmt: skip
        lines += [
            f"img/{c}/{status}{i}.jpg id_{first + c:08} {status}\n"
            for i, c in enumerate(spread(images, classes))
        ]
    text = f"{len(lines)}\nimage_name item_id evaluation_status\n" + "".join(lines)
    (tmp_path / "list_eval_partition.txt").write_text(text)
    report = check("inshop", tmp_path)
    assert report.found[1:] == [
        "train: 0 of 25,882 images, 3,997 classes",
        "query: 0 of 14,218 images, 3,985 classes",
        "gallery: 0 of 12,612 images, 3,985 classes",
    ]
    assert all("missing or empty" in problem for problem in report.problems)


def test_annotations_of_the_published_size_of_cars_fit_the_published_counts(tmp_path):
    import numpy as np
    from scipy.io import savemat

    classes = [c + 1 for c in spread(8_054, 98)] + [c + 99 for c in spread(8_131, 98)]
    rows = [(f"car_ims/{i:06}.jpg", c) for i, c in enumerate(classes, 1)]
    fields = [("relative_im_path", "O"), ("class", "O")]
    names = np.array([f"Car {c}" for c in range(196)], dtype=object)
    savemat(tmp_path / "cars_annos.mat", {"annotations": np.array(rows, dtype=fields), "class_names": names})
    report = check("cars196", tmp_path)
    assert report.found[1:] == ["train: 0 of 8,054 images, 98 classes", "test: 0 of 8,131 images, 98 classes"]
    assert all("missing or empty" in problem for problem in report.problems)


def test_a_list_of_the_published_size_of_domainnet_fits_the_published_counts(tmp_path):
    for half, images in [("train", 120_906), ("test", 52_041)]:
        lines = [f"real/class_{c}/real_{i}.jpg {c}\n" for i, c in enumerate(spread(images, 345))]
        (tmp_path / f"real_{half}.txt").write_text("".join(lines))
    report = check("domainnet", tmp_path)
    assert report.found[1:] == [
        "real train: 0 of 120,906 images, 345 classes",
        "real test: 0 of 52,041 images, 345 classes",
    ]
    with pytest.raises(DMLTeachError, match="real test: 52,041 images missing"):
        load("domainnet", "query", tmp_path)
