"""Sphinx extension: equations become MathML when the site is built, so no script is needed to read them.

Indices and exponents are placed by a font made for mathematics, and many computers have none; so the site
brings its own, inside the style sheet: from the disk, some browsers load no font out of another folder.
"""

import base64
from pathlib import Path

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)
FONT = Path(__file__).parent.parent / "_static" / "stix_two_math.woff2"
STYLE = """@font-face {{
  font-family: "STIX Two Math"; src: url(data:font/woff2;base64,{font}) format("woff2");
}}
math {{ font-family: "STIX Two Math", math; font-size: 1.05em; line-height: 1; }}
"""
STRUT = '<mspace height="0.75em" depth="0.15em"/>'  # as tall as the smallest root, which else hangs low
NORM = "<mo>&#x02016;</mo>"  # browsers stretch a norm's bar; before an exponent it would hang too low
PLUS_MINUS = "&#x000B1;"  # comes as a letter, which has no space around it


def to_mathml(node: nodes.Element, display: str) -> str:
    """MathML of one equation; LaTeX that cannot be converted is a warning, which fails the build."""
    latex = node.astext()
    try:
        made = convert(latex, display=display).replace(NORM, NORM.replace("<mo>", '<mo stretchy="false">'))
        made = made.replace("<msqrt><mrow>", f"<msqrt><mrow>{STRUT}")
        return made.replace(f"<mi>{PLUS_MINUS}</mi>", f"<mo>{PLUS_MINUS}</mo>")
    except Exception as error:
        logger.warning("equation not understood: %s (%s)", latex, error, location=node)
        return f"<code>{latex}</code>"


def visit_inline(self, node: nodes.Element) -> None:
    self.body.append(to_mathml(node, "inline"))
    raise nodes.SkipNode


def visit_display(self, node: nodes.Element) -> None:
    # A wide equation scrolls inside its own box, which the keyboard can reach.
    self.body.append(self.starttag(node, "div", CLASS="equation", tabindex="0"))
    self.body.append(to_mathml(node, "block") + "</div>\n")
    raise nodes.SkipNode


def write_style(app: Sphinx) -> None:
    """The style sheet of mathematics, among the files that Sphinx copies."""
    font = base64.b64encode(FONT.read_bytes()).decode()
    (FONT.parent / "math.css").write_text(STYLE.format(font=font), encoding="utf-8")


def setup(app: Sphinx) -> dict:
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_display, None))
    app.connect("builder-inited", write_style)
    app.add_css_file("math.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
