"""What lies in a folder of one's own images: which files are images, what is left out, how it is divided."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import features

from dmlteach.data.files import StoredFile, list_folder
from dmlteach.errors import DMLTeachError, counted, printable

EXPECTED = """Expected is one folder per class, with images in it (sub-folders too):
    ROOT/CLASS/image.jpg
or the same divided beforehand (val/ may be missing):
    ROOT/train/CLASS/image.jpg
    ROOT/val/CLASS/image.jpg
    ROOT/test/CLASS/image.jpg"""

PARTS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
    "query": "query", "gallery": "gallery",
}  # fmt: skip

# Why a file is no image of the data set.
FORMAT = "format"  # an image, but of a format that cannot be opened here
BACKUP = "backup"
SYSTEM = "system"  # folders of thumbnails, recycle bins and the like
HIDDEN = "hidden"
LOCKED = "locked"  # cannot be opened
OTHER = "other"  # no image
ORIGINAL = "original"  # of such a format, beside a copy that can be opened

_SUFFIXES = frozenset([
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib",
    ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif", ".tga",
])  # fmt: skip
_NEEDS = {".avif": "avif", ".jp2": "jpg_2000", ".webp": "webp"}  # what Pillow may have been built without
_UNREADABLE = frozenset([
    ".heic", ".heif", ".hif", ".jxl", ".svg", ".svgz", ".psd", ".psb", ".xcf", ".kra", ".raw",
    ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".raf", ".rw2", ".pef",
])  # fmt: skip
_BACKUP = re.compile(
    r"(~|^#.*#|\.(bak|backup|orig|old|save|tmp|temp|part|partial|crdownload|download|swp|swo|rej)\d*)$", re.I
)
_SYSTEM = frozenset([
    "@eadir", "@__thumb", "#recycle", "@recycle", "#snapshot", "@recently-snapshot", "$recycle.bin",
    "recycler", "system volume information", "lost+found", "__macosx", "__pycache__",
])  # fmt: skip
_NEVER_MISSED = frozenset([".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini", ".localized", "icon\r"])
_FIRST_BYTES = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"II*\0", b"MM\0*")
_HEIF = (b"ftypheic", b"ftypheix", b"ftyphevc", b"ftypheim", b"ftypmif1", b"ftypmsf1")

Classes = dict[str, list[StoredFile]]  # class name → its images


@dataclass(frozen=True)
class Layout:
    """What was found below a folder.

    Attributes:
        root: the folder.
        images: every image, sorted by name.
        parts: "train", "val", "test", "query" or "gallery" → the folders of ROOT that hold its class
            folders; empty where the folders of ROOT are the classes.
        left_out: why → names of the folders, or endings of the files, and how many there are.
    """

    root: Path
    images: list[StoredFile]
    parts: dict[str, list[str]]
    left_out: dict[str, Counter[str]]

    def classes(self, *parts: str) -> Classes:
        """Images by class, sorted; of these parts, where the folder is divided beforehand."""
        chosen = parts if self.parts else ("",)
        found: Classes = defaultdict(list)
        for part in [part for part in self._by_part if part in chosen]:
            for name, images in self._by_part[part].items():
                found[name] += images
        return dict(sorted(found.items()))

    @cached_property
    def _by_part(self) -> dict[str, Classes]:
        """Images by part and class; "" is the only part where the folder is not divided beforehand."""
        found: dict[str, Classes] = {part: defaultdict(list) for part in (*self.parts, "")}
        for file in self.images:
            part, name = self._place(file)
            if name is not None:
                found[part or ""][name].append(file)
        return found

    def class_of(self, file: StoredFile) -> str | None:
        """The class of an image; None where it lies in no class folder."""
        return self._place(file)[1]

    @property
    def loose(self) -> list[StoredFile]:
        """Images that lie in no class folder."""
        return [file for file in self.images if self.class_of(file) is None]

    @property
    def empty(self) -> list[str]:
        """Folders where a class is expected, without an image in them."""
        folders = [name for names in self.parts.values() for name in names]
        places = [self.root / name for name in folders] or [self.root]
        there = {f.name.rpartition("/")[0] for f in self.images}
        full = {"/".join(path.split("/")[: i + 1]) for path in there for i in range(path.count("/") + 1)}
        below = (
            folder.relative_to(self.root) for place in places for folder in place.iterdir() if folder.is_dir()
        )
        return sorted(p.as_posix() for p in below if p.as_posix() not in full and not _left_out_name(p.name))

    def _place(self, file: StoredFile) -> tuple[str | None, str | None]:
        """Part and class of an image."""
        first, *inside = file.name.split("/")
        if not self.parts:
            return None, first if inside else None
        part = next((part for part, folders in self.parts.items() if first in folders), None)
        return part, inside[0] if part and len(inside) > 1 else None


def look(root: str | Path) -> Layout:
    """List a folder of images. What is no image is left out, and named in the result.

    Left out are hidden files, editors' backups, folders of thumbnails and the like, and images of formats
    that cannot be opened here, such as HEIC. Files with other endings than those of images, or with none,
    are told by their first bytes.

    Args:
        root: the folder; it exists.

    Raises:
        DMLTeachError: a folder that cannot be looked into.
    """
    left_out: dict[str, Counter[str]] = defaultdict(Counter)

    def skip(name: str) -> bool:
        why = _left_out_name(name)
        if why and name.lower() not in _NEVER_MISSED:
            left_out[why][name] += 1
        return bool(why)

    files = {file: _left_out_file(file) for file in list_folder(Path(root), skip)}
    images = [file for file, why in files.items() if why is None]
    copies = {file.name.rpartition(".")[0] for file in images}
    for file, why in files.items():
        if why == FORMAT and file.name.rpartition(".")[0] in copies:
            why = ORIGINAL
        if why:
            left_out[why][Path(file.name).suffix or "no ending"] += 1
    return Layout(Path(root), images, _parts(images), dict(left_out))


def existing(root: str | Path | None) -> Path:
    """`root` as a folder that is there.

    Args:
        root: as the user gave it.

    Raises:
        DMLTeachError: it was not given, or there is no such folder.
    """
    if root is None:
        raise DMLTeachError(f"data set 'folder' needs --root DIR, the folder with your images.\n{EXPECTED}")
    root = Path(root).expanduser()
    if not root.is_dir():
        state = "is no folder" if root.exists() else "does not exist"
        raise DMLTeachError(f"the folder {root} {state}.\n{EXPECTED}")
    return root


def unreadable(layout: Layout) -> str | None:
    """A sentence about images left out because their format cannot be opened here; None if there are none."""
    endings = layout.left_out.get(FORMAT)
    if not endings:
        return None
    files = " ".join(f'"*{ending}"' for ending in endings)
    return (
        f"{counted(endings.total(), 'image')} left out, of {'a format' if len(endings) == 1 else 'formats'} "
        f"that cannot be opened here ({with_numbers(endings)}); convert them to JPEG or PNG, e.g. with "
        f"ImageMagick inside their folder: magick mogrify -format jpg {files}"
    )


def with_numbers(names: Counter[str], most: int = 5) -> str:
    """ ".heic 120, .dng 2": the most frequent, with how often they occur.

    Args:
        names: with their numbers.
        most: names that are shown.
    """
    shown = [f"{printable(name)} {number:,}" for name, number in names.most_common(most)]
    return ", ".join(shown) + (", …" if len(names) > most else "")


def shortened(names: Iterable[str], most: int = 8) -> str:
    """The first few names, and how many more there are.

    Args:
        names: of classes or files.
        most: names that are shown; one more is shown instead of "1 more".
    """
    names = [printable(name) for name in names]
    if len(names) <= most + 1:
        return ", ".join(names)
    return f"{', '.join(names[:most])}, … ({len(names) - most:,} more)"


def _left_out_name(name: str) -> str | None:
    """Why a file or folder called so is left out, whatever is in it."""
    lower = name.lower()
    if lower in _SYSTEM:
        return SYSTEM
    return HIDDEN if name.startswith(".") or lower in _NEVER_MISSED else None


def _left_out_file(file: StoredFile) -> str | None:
    """Why a file is no image of the data set; None if it is one."""
    name = file.name.rpartition("/")[2]
    suffix = Path(name).suffix.lower()
    if _BACKUP.search(name):
        return BACKUP
    if suffix in _UNREADABLE:
        return FORMAT
    if suffix in _SUFFIXES:
        return FORMAT if suffix in _NEEDS and not features.check(_NEEDS[suffix]) else None
    try:
        start = file._replace(size=12).read()
    except DMLTeachError:
        return LOCKED
    if start[4:].startswith(_HEIF):
        return FORMAT
    is_image = start.startswith(_FIRST_BYTES) or (start.startswith(b"RIFF") and start.endswith(b"WEBP"))
    return None if is_image else OTHER


def _parts(images: list[StoredFile]) -> dict[str, list[str]]:
    """Folders that are called like parts of a data set and hold folders of images.

    One such folder beside others is a class: images of trains may lie in train/2021.
    """
    loose: Counter[str] = Counter()
    deeper: Counter[str] = Counter()
    for file in images:
        first, *inside = file.name.split("/")
        if inside:
            (deeper if len(inside) > 1 else loose)[first] += 1
    tops = sorted({*loose, *deeper})
    named = [top for top in tops if top.lower() in PARTS and deeper[top] > loose[top]]
    parts: dict[str, list[str]] = defaultdict(list)
    if len(named) > 1 or named == tops:
        for top in named:
            parts[PARTS[top.lower()]].append(top)
    return {part: parts[part] for part in PARTS.values() if part in parts}
