"""Images and numbers written into a page, which then needs no file beside it."""

import base64
import html


def as_text(content: bytes) -> str:
    """Bytes in base64.

    Args:
        content: any bytes.
    """
    return base64.b64encode(content).decode()


def address(content: bytes, kind: str = "png") -> str:
    """An address that holds the image itself.

    Args:
        content: of an image's file.
        kind: "png", "jpeg" or "svg+xml".
    """
    return f"data:image/{kind};base64,{as_text(content)}"


def image_tag(content: bytes, alt: str, kind: str = "png") -> str:
    """HTML that shows an image, no wider than the page.

    Args:
        content: of the image's file.
        alt: what the image shows.
        kind: as of `address`.
    """
    return f'<img alt="{html.escape(alt)}" style="max-width:100%" src="{address(content, kind)}">'
