"""Sphinx extension: figures that have a drawing for phones, `NAME_on_a_phone.png` beside `NAME.png`."""

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform


class PhoneFigures(SphinxTransform):
    """Puts the drawing for a phone behind that for a column; the style sheet shows one of the two."""

    default_priority = 400  # before Sphinx collects the files of images

    def apply(self, **kwargs: object) -> None:
        for image in list(self.document.findall(nodes.image)):
            column = Path(image["uri"])
            phone = column.with_name(f"{column.stem}_on_a_phone{column.suffix}").as_posix()
            if "://" in image["uri"] or not Path(self.env.relfn2path(phone)[1]).is_file():
                continue
            twin = image.deepcopy()
            twin["uri"] = phone
            image["classes"].append("for-a-column")
            twin["classes"].append("for-a-phone")
            image.parent.insert(image.parent.index(image) + 1, twin)


def setup(app: Sphinx) -> dict:
    app.add_transform(PhoneFigures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
