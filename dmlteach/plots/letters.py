"""How wide a text is in this package's font, and what to do where it is too wide."""

import functools
import unicodedata

from matplotlib.font_manager import FontProperties, findfont, get_font


def width_of(text: str, size: float, weight: str = "normal") -> float:
    """Width of one line in inches.

    Args:
        text: one line.
        size: of the font, in points.
        weight: of the font.
    """
    return sum(_advance(c, weight) for c in text) * size / 72


def shortened(text: str, width: float, size: float, weight: str = "normal") -> str:
    """The text, or its beginning and end around "…", so that it is no wider than `width`.

    Args:
        text: one line.
        width: in inches.
        size: of the font, in points.
        weight: of the font.
    """
    # The font has no letters of e.g. Chinese: a box would say less than a question mark.
    text = "".join(c if _advance(c, weight) else "?" for c in unicodedata.normalize("NFC", text))
    kept, shown = len(text), text
    while kept > 1 and width_of(shown, size, weight) > width:
        kept -= 1
        shown = f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"
    return shown


def folded(text: str, width: float, size: float, weight: str = "normal") -> str:
    """The text in as many lines as it needs to be no wider than `width`; a word is never cut.

    Args:
        text: one line or several, each of which is folded by itself. A formula stays as it is.
        width: in inches.
        size: of the font, in points.
        weight: of the font.
    """
    if text.count("$") > 1:
        return text
    lines = []
    for paragraph in text.split("\n"):
        line, *words = paragraph.split(" ")
        for word in words:
            if width_of(f"{line} {word}", size, weight) > width:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}"
        lines.append(line)
    return "\n".join(lines)


@functools.cache
def _advance(character: str, weight: str) -> float:
    """Width of a character in this package's font, as a share of the font's size; 0 where it has none."""
    font = get_font(findfont(FontProperties(family="DejaVu Sans", weight=weight)))
    if font.get_char_index(ord(character)) == 0:
        return 0.0
    font.set_size(100, 72)
    return font.load_char(ord(character)).linearHoriAdvance / 65536 / 100
