"""The triplet playground as one HTML file that loads nothing: to open, to keep, to pass on."""

from dmlteach.course.widgets.explorable import FOLDER, front_end
from dmlteach.course.widgets.playground.widget import TripletPlayground
from dmlteach.plots.inline import image_tag

TITLE = "Triplet playground: where do the losses move three points?"
INTRO = (
    "An anchor a and a positive p are of one class, the negative n is of another. Each loss moves the three "
    "along its negative gradient, drawn as arrows: drag the points, or use the arrow keys. Everything runs "
    "in this page. Its address holds the state, so a link shows what you see."
)
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
    module, style = front_end("playground")
    module += (FOLDER / "page.js").read_text("utf-8")
    picture, alt = TripletPlayground().picture()
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Triplet playground · dmlteach</title>
<style>
{style}{STYLE}</style>
</head>
<body>
<main>
<h1>{TITLE}</h1>
<p>{INTRO}</p>
<div id="playground">
{image_tag(picture.encode(), alt, "svg+xml")}
</div>
</main>
<script type="module">
{module}
start(document.getElementById("playground"));
</script>
</body>
</html>
"""
