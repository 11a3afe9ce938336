"""The report as one page: no code, no script, nothing from the network; made to be read, and printed."""

import html
import re
from pathlib import Path

STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 50rem; padding: 2rem 1.2rem 4rem; background: white; color: #1a1a1a;
  font: 16px/1.55 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 1rem; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .6rem; padding-top: .6rem; border-top: 1px solid #d9d9d9; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .4rem; }
p, li { max-width: 44rem; overflow-wrap: anywhere; }
code { font: .9em ui-monospace, "DejaVu Sans Mono", monospace; background: #f3f3f3; padding: .1em .25em;
  overflow-wrap: anywhere; }
pre { overflow-x: auto; background: #f3f3f3; padding: .7rem; font-size: .85rem; white-space: pre-wrap; }
pre code { background: none; padding: 0; }
.wide { max-width: 100%; overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .92rem; }
th, td { padding: .35rem .8rem .35rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid #e4e4e4; }
th { border-bottom: 1.5px solid #1a1a1a; white-space: nowrap; }
img { max-width: 100%; height: auto; }
a { color: #005a9c; }
@media (max-width: 30rem) { body { padding: 1rem .8rem 3rem; } h1 { font-size: 1.35rem; } }
@media print { body { max-width: none; padding: 0; font-size: 10.5pt; } h2, h3 { break-after: avoid; }
  img, tr { break-inside: avoid; } .wide { overflow: visible; } @page { margin: 18mm; } }
"""

# A table may be wider than a phone: its frame scrolls, with the keyboard too.
WIDE = '<div class="wide" tabindex="0" role="region" aria-label="table"><table>'

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def to_html(notebook: Path) -> str:
    """One page without code that needs neither network nor other files.

    Args:
        notebook: an executed notebook; its first heading becomes the page's title.
    """
    from nbconvert import HTMLExporter

    exporter = HTMLExporter(
        template_name="basic",
        exclude_input=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
    )
    body, _ = exporter.from_filename(str(notebook))
    body = re.sub("<table[^>]*>", WIDE, body).replace("</table>", "</table></div>")
    heading = re.search(r"<h1[^>]*>(.*?)</h1>", body, re.DOTALL)
    body = re.sub(r"(?<=\d) %", "&nbsp;%", body)  # a number and its unit stand on one line
    title = re.sub(r"<[^>]+>", "", heading[1]) if heading else html.escape(notebook.stem)
    return PAGE.format(title=title, style=STYLE, body=body)
