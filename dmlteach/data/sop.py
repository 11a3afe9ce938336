"""Stanford Online Products: 22,634 products sold on eBay; the first 11,318 train, the others test.

Source: Song, Xiang, Jegelka, Savarese, "Deep metric learning via lifted structured feature embedding",
CVPR 2016. Images belong to the sellers; they may not be redistributed.
"""

from pathlib import Path

from dmlteach.data import listed
from dmlteach.data.dataset import ImageDataset
from dmlteach.data.download import Remote
from dmlteach.data.files import list_folder
from dmlteach.data.listed import Files, Part

PUBLISHED = {"train": (59_551, 11_318), "test": (60_502, 11_316)}
PARTS = tuple(PUBLISHED)
TERMS = "images belong to the sellers; research purposes"
RECALL_AT = (1, 10, 100, 1000)
# The checksum is TensorFlow Datasets' record of the file at the authors' place; the place has no HTTPS.
FILES = [
    [
        Remote(
            "Stanford_Online_Products.zip",
            3_083_860_082,
            "sha256:b04fa78210e69fab050ce73939550e1cd0f96890bdd98ec9fee732c3b756ef48",
            "http://ftp.cs.stanford.edu/cs/cvgl/Stanford_Online_Products.zip",
            holds="Stanford_Online_Products",
        )
    ]
]
HOW_TO_GET = (
    "Stanford Online Products (for research; images belong to the sellers), 3.1 GB:\n"
    "    dmlteach data get sop --root DIR\n"
    "or put Stanford_Online_Products.zip into DIR yourself and repeat that command (the authors' page:\n"
    "https://cvgl.stanford.edu/projects/lifted_struct). Its place has no HTTPS, so the file must have\n"
    "the SHA-256 that is written in dmlteach."
)
_LISTS = {"train": "Ebay_train.txt", "test": "Ebay_test.txt"}
_LAYOUT = """Expected is the official layout:
    Stanford_Online_Products/Ebay_train.txt, Ebay_test.txt
    Stanford_Online_Products/bicycle_final/111085122871_0.JPG and eleven more folders
Give as root the folder that holds Stanford_Online_Products/, or that folder itself.
Get it with `dmlteach data get sop --root DIR` (3.1 GB; research purposes)."""


def load(part: str, root: str | Path | None = None) -> ImageDataset:
    """Products 1-11,318 (train, 59,551 images) or the others (test, 60,502), in the order of the lists.

    Args:
        part: train or test.
        root: the folder that holds Stanford_Online_Products/, or that folder itself.
    """
    place, files = _find(root)
    parts = {part: _read_list(place, part)}
    listed.refuse("sop", place, listed.compare(parts, files, PUBLISHED)[1], _LAYOUT)
    return listed.to_dataset("sop", part, parts[part], files)


def check(root: str | Path | None = None) -> tuple[list[str], list[str]]:
    """What is there, and what is missing; both as sentences."""
    place, files = _find(root)
    found, problems = listed.compare({part: _read_list(place, part) for part in PARTS}, files, PUBLISHED)
    return [f"place: {place}", *found], problems


def _find(root: str | Path | None) -> tuple[Path, Files]:
    place = listed.find("sop", root, ["Stanford_Online_Products"], list(_LISTS.values()), _LAYOUT)
    return place, {file.name: file for file in list_folder(place)}


def _read_list(place: Path, part: str) -> Part:
    """Lines "image_id class_id super_class_id path" below a heading."""
    rows = listed.read_table(place / _LISTS[part], columns=4, heading=1, layout=_LAYOUT, number=1)
    names = {int(product): _product(image) for _, product, _, image in rows}
    return listed.numbered(
        [image for *_, image in rows], [int(product) for _, product, *_ in rows], called=names.__getitem__
    )


def _product(image: str) -> str:
    """'bicycle_final/111085122871_0.JPG' → 'bicycle 111085122871'."""
    folder, _, file = image.rpartition("/")
    return f"{folder.removesuffix('_final').replace('_', ' ')} {file.partition('_')[0]}"
