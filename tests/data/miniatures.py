"""Miniatures of the data sets: official names and lists, few pictures of a few pixels."""

import hashlib
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image
from scipy.io import savemat

from dmlteach.data import cars196, cub200, domainnet, inshop, sop
from dmlteach.data.download import Remote

MODULES: dict[str, ModuleType] = {
    "cub200": cub200, "cars196": cars196, "sop": sop, "inshop": inshop, "domainnet": domainnet,
}  # fmt: skip
COUNTS = {  # what the miniatures hold, in place of the published counts
    "cub200": {"PUBLISHED": {"train": (200, 100), "test": (200, 100)}},
    "cars196": {"PUBLISHED": {"train": (196, 98), "test": (196, 98)}},
    "sop": {"PUBLISHED": {"train": (12, 4), "test": (9, 3)}},
    "inshop": {"PUBLISHED": {"train": (8, 4), "query": (6, 3), "gallery": (9, 3), "test": (15, 3)}},
    "domainnet": {"CLASSES": 4, "IMAGES": dict.fromkeys(domainnet.IMAGES, (12, 8))},
}


def picture(path: Path, colour: int) -> None:
    """Eight by eight pixels of one of many colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rgb = (37 * colour % 256, 101 * colour % 256, 211 * colour % 256)
    Image.new("RGB", (8, 8), rgb).save(path, "PNG")


def write(name: str, folder: Path) -> Path:
    """The miniature of a data set, or of "cars196 devkit", in its official layout."""
    folder.mkdir(parents=True, exist_ok=True)
    WRITERS[name](folder)
    return folder


def write_cub200(folder: Path) -> None:
    top = folder / "CUB_200_2011"
    names = [f"{c:03}.Bird_{c}/Bird_{c}_{i}.jpg" for c in range(1, 201) for i in range(2)]
    for number, name in enumerate(names):
        picture(top / "images" / name, number)
    table(top / "images.txt", names)
    table(top / "image_class_labels.txt", [int(name[:3]) for name in names])
    table(top / "classes.txt", [f"{c:03}.Bird_{c}" for c in range(1, 201)])


def table(path: Path, values: list) -> None:
    path.write_text("".join(f"{i} {value}\n" for i, value in enumerate(values, 1)))


CARS = [(number % 196) + 1 for number in range(392)]  # class of each car, in the devkit's mixed order
CAR_NAMES = np.array([f"Maker Model {c} 2012" for c in range(1, 197)], dtype=object)


def write_cars196(folder: Path) -> None:
    rows = [(f"car_ims/{i:06}.jpg", 1, 1, 8, 8, c, i % 2) for i, c in enumerate(CARS, 1)]
    for number, row in enumerate(rows):
        picture(folder / row[0], number)
    boxes = [(f"bbox_{corner}", "O") for corner in ("x1", "y1", "x2", "y2")]
    fields = [("relative_im_path", "O"), *boxes, ("class", "O"), ("test", "O")]
    content = {"annotations": np.array(rows, dtype=fields), "class_names": CAR_NAMES}
    savemat(folder / "cars_annos.mat", content, oned_as="row")


def write_cars196_devkit(folder: Path) -> None:
    half = len(CARS) // 2
    boxes = [(f"bbox_{corner}", "O") for corner in ("x1", "y1", "x2", "y2")]
    fields = [*boxes, ("class", "O"), ("fname", "O")]
    (folder / "devkit").mkdir()
    for part, classes, path in [
        ("train", CARS[:half], "devkit/cars_train_annos.mat"),
        ("test", CARS[half:], "cars_test_annos_withlabels.mat"),
    ]:
        rows = [(1, 1, 8, 8, c, f"{i:05}.jpg") for i, c in enumerate(classes, 1)]
        for row in rows:
            picture(folder / f"cars_{part}" / row[-1], row[-2])
        savemat(folder / path, {"annotations": np.array(rows, dtype=fields)}, oned_as="row")
    savemat(folder / "devkit" / "cars_meta.mat", {"class_names": CAR_NAMES}, oned_as="row")


def write_sop(folder: Path) -> None:
    top = folder / "Stanford_Online_Products"
    image = 0
    for part, products in {"train": range(1, 5), "test": range(5, 8)}.items():
        lines = ["image_id class_id super_class_id path"]
        for product in products:
            category = ("bicycle", "coffee_maker")[product % 2]
            for i in range(3):
                image += 1
                name = f"{category}_final/11108512{product}_{i}.JPG"
                picture(top / name, product)
                lines.append(f"{image} {product} {product % 2 + 1} {name}")
        (top / f"Ebay_{part}.txt").write_text("\n".join(lines) + "\n")


def write_inshop(folder: Path) -> None:
    rows = []
    for item in range(1, 8):
        queries, gallery = (2, 3) if item in (2, 6, 7) else (0, 0)
        statuses = ["query"] * queries + ["gallery"] * gallery or ["train"] * 2
        for i, status in enumerate(statuses, 1):
            name = f"img/WOMEN/Dresses/id_{item:08}/{i:02}_1_front.jpg"
            picture(folder / name, item)
            rows.append(f"{name:<70} id_{item:08}   {status}")
    heading = [str(len(rows)), "image_name item_id evaluation_status"]
    (folder / "list_eval_partition.txt").write_text("\n".join([*heading, *rows]) + "\n")


def write_domainnet(folder: Path) -> None:
    classes = ["aircraft_carrier", "airplane", "t-shirt", "zigzag"]
    for shade, domain in enumerate(domainnet.DOMAINS):
        number = 0
        for half, count in {"train": 3, "test": 2}.items():
            lines = []
            for label, name in enumerate(classes):
                for _ in range(count):
                    number += 1
                    path = f"{domain}/{name}/{domain}_{label + 1:03}_{number:06}.jpg"
                    picture(folder / path, 10 * label + shade)
                    lines.append(f"{path} {label}")
            (folder / f"{domain}_{half}.txt").write_text("\n".join(lines) + "\n")


WRITERS = {
    "cub200": write_cub200,
    "cars196": write_cars196,
    "cars196 devkit": write_cars196_devkit,
    "sop": write_sop,
    "inshop": write_inshop,
    "domainnet": write_domainnet,
}


def pack(layout: Path, files: list[Remote], folder: Path) -> list[Remote]:
    """The files that a data set is downloaded as, packed from a miniature; with their real facts."""
    folder.mkdir(parents=True, exist_ok=True)
    return [described(file, pack_one(layout, file, folder)) for file in files]


def pack_one(layout: Path, file: Remote, folder: Path) -> Path:
    path = folder / file.name
    if file.holds is None:
        path.write_bytes((layout / file.name).read_bytes())
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member in members(layout / file.holds):
                archive.write(member, member.relative_to(layout))
    else:
        with tarfile.open(path, "w:gz", compresslevel=1) as archive:
            archive.add(layout / file.holds, file.holds)
    return path


def members(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def described(file: Remote, path: Path) -> Remote:
    content = path.read_bytes()
    return replace(file, size=len(content), checksum=f"sha256:{hashlib.sha256(content).hexdigest()}")
