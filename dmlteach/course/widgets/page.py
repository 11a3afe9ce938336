"""An explorable as one HTML file that loads nothing: to open, to keep, to pass on."""

import json

from dmlteach.course.widgets.embedding_lab.widget import EmbeddingLab
from dmlteach.course.widgets.explorable import FOLDER, Explorable
from dmlteach.course.widgets.playground.widget import TripletPlayground
from dmlteach.plots.inline import image_tag

STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 960px; padding: 12px; font: 16px/1.5 system-ui, sans-serif;
  background: #ffffff; color: #16181c; }
@media (prefers-color-scheme: dark) { body { background: #16181c; color: #e8e8e8; } }
h1 { font-size: 1.4em; margin: 0 0 .3em; }
.dml-pass-on input[type=text] { flex: 1; min-width: 12em; background: transparent; border: 1px solid; }
@media print { .dml-pass-on { display: none; } }
"""


def playground_page() -> str:
    """The playground's HTML page: at most 300 kB, alive without a network, its state in the address."""
    return page(
        TripletPlayground(),
        title="Triplet playground",
        heading="Triplet playground: where do the losses move three points?",
        intro="An anchor a and a positive p are of one class, the negative n is of another. Each loss moves "
        "the three along its negative gradient, drawn as arrows: drag the points, or use the arrow keys. "
        "Everything runs in this page. Its address holds the state, so a link shows what you see.",
    )


def lab_page() -> str:
    """The embedding lab's HTML page: at most 400 kB, alive without a network, its state in the address."""
    lab = EmbeddingLab()
    return page(
        lab,
        title="Embedding lab",
        heading="Embedding lab: train an embedding, and watch what it does to characters it has never seen",
        intro="A small network learns from twenty characters of Omniglot and is tested on ten others. It is "
        "trained here, in this page, while you look on. The address holds the settings, so a link repeats a "
        "training.",
        given={"characters": lab.characters},
    )


def page(figure: Explorable, title: str, heading: str, intro: str, given: dict | None = None) -> str:
    """One HTML file with a figure in it, its state in the address.

    Args:
        figure: what is shown; `page.js` in its folder says how its address is read.
        title: of the page, in the browser's list.
        heading: at the top.
        intro: a paragraph below it.
        given: what the figure's model holds beside its state, as JSON.

    Returns:
        The page.
    """
    scripts = [FOLDER / "page.js", FOLDER / figure.name / "page.js"]
    module = figure._esm + "\n".join(script.read_text("utf-8") for script in scripts)
    picture, alt = figure.picture()
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · dmlteach</title>
<style>
{figure._css}{STYLE}</style>
</head>
<body>
<main>
<h1>{heading}</h1>
<p>{intro}</p>
<div id="{figure.name}">
{image_tag(picture.encode(), alt, "svg+xml")}
</div>
</main>
<script type="module">
{module}
openPage(document.getElementById("{figure.name}"), {{ ...PAGE, given: {json.dumps(given or {})} }});
</script>
</body>
</html>
"""
