"""An image written into a page is the image."""

import base64
import html.parser

import pytest

from dmlteach.plots.inline import address, as_text, image_tag


@pytest.mark.parametrize("kind", ["png", "jpeg", "svg+xml"])
def test_an_address_holds_the_bytes_and_their_kind(kind):
    content = bytes(range(256))
    head, _, body = address(content, kind).partition(",")
    assert head == f"data:image/{kind};base64"
    assert base64.b64decode(body) == content == base64.b64decode(as_text(content))


def test_what_an_image_shows_may_hold_any_character():
    seen = {}

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag, attributes):
            seen.update(attributes, tag=tag)

    alt = 'a < b & "c" > d'
    Reader().feed(image_tag(b"<svg/>", alt, "svg+xml"))
    assert seen["tag"] == "img" and seen["alt"] == alt
    assert base64.b64decode(seen["src"].partition(",")[2]) == b"<svg/>"
