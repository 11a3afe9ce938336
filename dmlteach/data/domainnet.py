"""DomainNet: 345 classes in six domains, from photographs to drawings; for retrieval across domains.

Source: Peng, Bai, Xia, Huang, Saenko, Wang, "Moment matching for multi-source domain adaptation",
ICCV 2019; the cleaned version. Images may not be redistributed.
"""

from pathlib import Path

from dmlteach.data import listed
from dmlteach.data.dataset import ImageDataset
from dmlteach.data.download import Remote
from dmlteach.data.files import list_folder
from dmlteach.data.listed import Files, Part
from dmlteach.errors import DMLTeachError

CLASSES = 345
IMAGES = {  # train and test list of each domain; the first is the source
    "real": (120_906, 52_041),
    "quickdraw": (120_750, 51_750),
    "clipart": (33_525, 14_604),
    "sketch": (48_212, 20_916),
    "infograph": (36_023, 15_582),
    "painting": (50_416, 21_850),
}
DOMAINS = tuple(IMAGES)
PROTOCOL = "cross-domain, same classes"
PARTS = ("train", "test", "query", "gallery")
TERMS = "its makers' fair-use notice; non-commercial research and education"

_PLACE = "http://csr.bu.edu/ftp/visda/2019/multi-source"
# Bytes and SHA-256 as TensorFlow Datasets recorded them; the official place has no HTTPS.
_PINNED = {
    "real.zip": (6_062_039_589, "d7fe010b430c5b510f85d657d38c4a1924822695fabea4fef57bd00dba251d63"),
    "quickdraw.zip": (459_920_701, "9f37df2a8c3733703dbb35ad9964202a65f675ca30137756457537536b485d84"),
    "clipart.zip": (1_270_909_081, "f8f248a3e8bbc9868c523ae24e6601b4c2ad102afc60c0efeb4f3255df22354d"),
    "sketch.zip": (2_633_992_926, "23a7dbae7016b343e934399beaa8a68728fb5e570ebe2c71df9b75cf91c499fc"),
    "infograph.zip": (4_338_659_804, "891e14f476317e97b6f06d6498c11d0a5b8d0c8b57210765ed9beb072da611fa"),
    "painting.zip": (3_679_366_174, "fa47e6d405503ea0286cabd767f176bd30e988b63ddd7b9db16cf030c9770015"),
    "real_train.txt": (4_440_944, "19d483256d24aef19e581b65eda8333fd918aef3eb733fe499ff384120e3a289"),
    "real_test.txt": (1_911_327, "2b3f75bcde309aeb5931292084b2162e936b5f189e3bb1ad716f0f74c460864c"),
    "quickdraw_train.txt": (5_164_600, "3a5edd3bc215772010eebc87f158707703dd7e48091d13b816af81326a9d1c0f"),
    "quickdraw_test.txt": (2_213_400, "2a00a60650a453c65c356da748fec54084a197272137c440e7d52d08947357bf"),
    "clipart_train.txt": (1_443_819, "affdadf5f95a7583e6b98030a3d35007e2613ee4dd942393c5a705ec2b429312"),
    "clipart_test.txt": (628_917, "62c8e36aaba1c41ad9e249099739707220a44c08f167b37ef420f34a31628a6b"),
    "sketch_train.txt": (1_960_222, "72f4bc6afa5702a1ccba800d0053c1427de87439dfaf246dbc9a2e71abfec54f"),
    "sketch_test.txt": (850_581, "3fb48fca18c507c4321f007c3f62b308ec232ff6928cbfe2af64e76ec366e840"),
    "infograph_train.txt": (1_683_098, "36b44cbd41a2915e0dc73b4f4be8862a6f3c220f93c8d63fb2439beeae3aefda"),
    "infograph_test.txt": (728_028, "413cfa54ac92e7e6b242f4f09fbd9c8ace85c4deaf3cb6c81ff6b68264460136"),
    "painting_train.txt": (2_241_901, "f1da38d50a702fddf1329f85bc607d7a2abcae7e6aec75e1fd49cc1bd340d47b"),
    "painting_test.txt": (971_888, "11472b13b5188e09f06918b12eebb660588c97a20e43e268d9b02e3e37eb8f97"),
}


def _remote(name: str) -> Remote:
    size, sha256 = _PINNED[name]
    if name.endswith(".txt"):
        return Remote(name, size, f"sha256:{sha256}", f"{_PLACE}/domainnet/txt/{name}")
    cleaned = "groundtruth/" if name in ("clipart.zip", "painting.zip") else ""
    holds = name.removesuffix(".zip")
    return Remote(name, size, f"sha256:{sha256}", f"{_PLACE}/{cleaned}{name}", holds=holds)


FILES = [[_remote(name) for name in reversed(_PINNED)]]  # the small ones first
HOW_TO_GET = (
    "DomainNet (cleaned version; for non-commercial research and education), 18 GB; needs 27 GB free:\n"
    "    dmlteach data get domainnet --root DIR\n"
    "or put the files of https://ai.bu.edu/M3SDA into DIR yourself (real.zip … and real_train.txt,\n"
    "real_test.txt …) and repeat that command. Its place has no HTTPS, so each file must have the\n"
    "SHA-256 that is written in dmlteach."
)
_LAYOUT = """Expected is the official layout (the lists may also be in a folder txt/):
    real_train.txt, real_test.txt, quickdraw_train.txt, …
    real/airplane/real_002_000001.jpg, quickdraw/…, clipart/…, sketch/…, infograph/…, painting/…
Give as root the folder that holds them; a domain that you do not use may be left out.
Get it with `dmlteach data get domainnet --root DIR` (18 GB; non-commercial research and education)."""


def load(part: str, root: str | Path | None = None, *, domain: str | None = None) -> ImageDataset:
    """Train or test images of one domain. All domains share one index of 345 classes, train and test too.

    Args:
        part: train, test, query (the domain's test images), or gallery (likewise).
        root: the folder that holds the lists and the domains' folders.
        domain: default real; a gallery has no default.
    """
    if domain is None and part == "gallery":
        raise DMLTeachError(f"which gallery of 'domainnet'? Give domain, one of {', '.join(DOMAINS)}.")
    domain = domain or "real"
    place = _find(root)
    half = "train" if part == "train" else "test"
    name = f"{domain} {half}"
    parts, files = {name: _read_list(place, domain, half)}, _files_of(place, domain)
    listed.refuse("domainnet", place, listed.compare(parts, files, _published(domain))[1], _LAYOUT)
    return listed.to_dataset("domainnet", part, parts[name], files)


def check(root: str | Path | None = None) -> tuple[list[str], list[str]]:
    """What is there, and what is missing; both as sentences."""
    place = _find(root)
    found, problems = [f"place: {place}"], []
    for domain in DOMAINS:
        missing = [f"{domain}_{half}.txt" for half in ("train", "test") if _list(place, domain, half) is None]
        if missing:
            problems.append(f"{domain}: {' and '.join(missing)} missing")
            continue
        parts = {f"{domain} {half}": _read_list(place, domain, half) for half in ("train", "test")}
        here, wrong = listed.compare(parts, _files_of(place, domain), _published(domain))
        found, problems = found + here, problems + wrong
    return found, problems


def _find(root: str | Path | None) -> Path:
    lists = [f"{folder}{domain}_test.txt" for folder in ("", "txt/") for domain in DOMAINS]
    return listed.find("domainnet", root, ["domainnet", "DomainNet"], lists, _LAYOUT)


def _published(domain: str) -> dict[str, listed.Counts]:
    train, test = IMAGES[domain]
    return {f"{domain} train": (train, CLASSES), f"{domain} test": (test, CLASSES)}


def _files_of(place: Path, domain: str) -> Files:
    folder = place / domain
    here = list_folder(folder) if folder.is_dir() else []
    return {(name := f"{domain}/{file.name}"): file._replace(name=name) for file in here}


def _list(place: Path, domain: str, half: str) -> Path | None:
    name = f"{domain}_{half}.txt"
    return next((path for path in (place / name, place / "txt" / name) if path.is_file()), None)


def _read_list(place: Path, domain: str, half: str) -> Part:
    """Lines "real/aircraft_carrier/real_001_000001.jpg 0"; the numbers are the same in every domain."""
    path = _list(place, domain, half) or place / f"{domain}_{half}.txt"
    rows = listed.read_table(path, columns=2, heading=0, layout=_LAYOUT, number=1)
    images, labels = [image for image, _ in rows], [int(label) for _, label in rows]
    if labels and max(labels) >= CLASSES:
        raise DMLTeachError(
            f"{path} is damaged: it has class {max(labels)}, the last one is {CLASSES - 1}.\n{_LAYOUT}"
        )
    loose = [image for image in images if "/" not in image]
    if loose:
        raise DMLTeachError(f"{path} is damaged: {loose[0][:80]!r} lies in no folder.\n{_LAYOUT}")
    folders = {label: image.split("/")[-2] for image, label in zip(images, labels, strict=True)}
    # a list need not have every class; the index stays the same
    names = [folders.get(label, f"class {label}").replace("_", " ") for label in range(CLASSES)]
    return Part(images, labels, names)
