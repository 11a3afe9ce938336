"""In-Shop Clothes Retrieval (DeepFashion): 7,982 clothes; test queries search a gallery of their own.

Source: Liu, Luo, Qiu, Wang, Tang, "DeepFashion: powering robust clothes recognition and retrieval with
rich annotations", CVPR 2016. For non-commercial research after an agreement; no redistribution.
"""

from pathlib import Path

from dmlteach.data import listed
from dmlteach.data.dataset import ImageDataset
from dmlteach.data.download import Remote
from dmlteach.data.files import list_folder
from dmlteach.data.listed import Files, Part
from dmlteach.errors import DMLTeachError

PUBLISHED = {
    "train": (25_882, 3_997),
    "query": (14_218, 3_985),
    "gallery": (12_612, 3_985),
    "test": (26_830, 3_985),
}
PARTS = tuple(PUBLISHED)
TERMS = "after an agreement with its makers; non-commercial research"
TESTED_AS = ("query", "gallery")
RECALL_AT = (1, 10, 20, 30, 40, 50)
FILES = [[Remote("img.zip", holds="img"), Remote("list_eval_partition.txt")]]  # no checksums are published
HOW_TO_GET = (
    "In-Shop Clothes Retrieval (DeepFashion; for non-commercial research) is given after an agreement:\n"
    "  1. open https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html and follow it\n"
    "  2. put Img/img.zip and Eval/list_eval_partition.txt of the benchmark's folder into a folder DIR\n"
    "    (if img.zip asks for a password, unpack it there yourself: DIR/img/)\n"
    "  3. dmlteach data get inshop --root DIR\n"
    "No checksums are published; images and classes are counted."
)
_FOLDER = "In-shop Clothes Retrieval Benchmark"
_LISTS = ("list_eval_partition.txt", "Eval/list_eval_partition.txt")
_LAYOUT = """Expected is the official layout (Img/ and Eval/ may be left out):
    Eval/list_eval_partition.txt
    Img/img/WOMEN/Dresses/id_00000002/02_1_front.jpg
Give as root the folder that holds them. `dmlteach data get inshop` says how to get it
(non-commercial research, after an agreement with its makers)."""


def load(part: str, root: str | Path | None = None) -> ImageDataset:
    """Train (25,882 images), query (14,218), gallery (12,612), or test: query and gallery together.

    Query and gallery share one index of 3,985 classes.

    Args:
        part: train, query, gallery or test.
        root: the folder of the benchmark.
    """
    place, files = _find(root)
    parts = {part: _read_list(place)[part]}
    listed.refuse("inshop", place, listed.compare(parts, files, PUBLISHED)[1], _LAYOUT)
    return listed.to_dataset("inshop", part, parts[part], files)


def check(root: str | Path | None = None) -> tuple[list[str], list[str]]:
    """What is there, and what is missing; both as sentences."""
    place, files = _find(root)
    parts = _read_list(place)
    del parts["test"]  # the same images again
    found, problems = listed.compare(parts, files, PUBLISHED)
    return [f"place: {place}", *found], problems


def _find(root: str | Path | None) -> tuple[Path, Files]:
    place = listed.find("inshop", root, [_FOLDER], _LISTS, _LAYOUT)
    files = list_folder(place)
    return place, {file.name.removeprefix("Img/"): file for file in files}


def _read_list(place: Path) -> dict[str, Part]:
    """Lines "image_name item_id evaluation_status" below the number of images and a heading."""
    path = next(place / name for name in _LISTS if (place / name).is_file())
    rows = listed.read_table(path, columns=3, heading=2, layout=_LAYOUT)
    unknown = {status for *_, status in rows} - {"train", "query", "gallery"}
    if unknown:
        raise DMLTeachError(f"{path} is damaged: it has the parts {sorted(unknown)}.\n{_LAYOUT}")
    of_test = [item for _, item, status in rows if status != "train"]
    statuses = {"train": ["train"], "query": ["query"], "gallery": ["gallery"], "test": ["query", "gallery"]}
    parts = {}
    for part, wanted in statuses.items():
        chosen = [(image, item) for image, item, status in rows if status in wanted]
        images, items = [image for image, _ in chosen], [item for _, item in chosen]
        parts[part] = listed.numbered(images, items, among=None if part == "train" else of_test)
    return parts
