"""What an explorable tells below its picture."""


def status(page, words: str) -> None:
    """Wait until the sentence holds these words; its spaces may be such as do not break."""
    page.wait_for_function(
        "words => document.querySelector('.dml-status').textContent.replaceAll('\\u00a0', ' ')"
        ".includes(words)",
        arg=words,
    )
