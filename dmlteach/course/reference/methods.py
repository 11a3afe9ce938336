"""The page of a method: its card, with its recipe beside what each data set has otherwise."""

from dmlteach import methods
from dmlteach.course.cards.contents import RECIPE, SOURCE, Card, card
from dmlteach.course.reference.markdown import prose


def method_page(name: str) -> list[str]:
    """The lines of a method's page.

    Args:
        name: our id.
    """
    dataset, *others = methods.ADAPTATIONS
    shown = card(name, dataset)
    loss = methods.get(name).loss
    lines = [f"# {name}", "", *_sentences([f"`dmlteach methods {name}` prints this card."])]
    for heading, sentences in shown.sections():
        lines += [f"## {heading}", ""]
        if heading == "Equation":
            equation, *rest = sentences
            lines += ["```{rst-class} formula", "```", "", _as_text(equation), "", *_sentences(rest)]
            lines += [f"[Its page](../losses/{loss}.md) has what the letters mean, and its curve.", ""]
        else:
            lines += _sentences(sentences)
        if heading == SOURCE and shown.command:
            lines += ["```sh", shown.command, "```", ""]
        if heading == RECIPE:
            lines += _recipe(shown)
            for other in others:
                lines += [f"On {_as_text(other)}:", "", *_recipe(card(name, other))]
    return lines


def method_table() -> list[str]:
    """A table of all methods, each a link to its page, and the pages for the navigation."""
    rows = [
        f"| [`{name}`](methods/{name}.md) | {_as_text(recipe.paper)} "
        f"| [`{recipe.loss}`](losses/{recipe.loss}.md) | `{recipe.sampler}` |"
        for name, recipe in sorted(methods.METHODS.items())
    ]
    tree = ["```{toctree}", ":hidden:", "", *(f"methods/{name}" for name in methods.names()), "```", ""]
    return ["| method | source | loss | batches |", "|---|---|---|---|", *rows, "", *tree]


def methods_with(loss: str) -> list[str]:
    """Links to the methods that train with a loss.

    Args:
        loss: its name.
    """
    users = [name for name in methods.names() if methods.get(name).loss == loss]
    if not users:
        return [
            f"No method is made of it; `dmlteach train --method METHOD --loss {loss}` trains a method with "
            "it instead of its own loss.",
            "",
        ]
    return [
        *(f"- [`{name}`](../methods/{name}.md): {_as_text(methods.get(name).paper)}" for name in users),
        "",
    ]


def _recipe(shown: Card) -> list[str]:
    rows = [
        f"| {row.part} | {_as_cell(row.published) or '–'} "
        f"| {'' if row.here == row.published else _as_cell(row.here) or '–'} | {_as_cell(row.why)} |"
        for row in shown.recipe
    ]
    return [f"| | as published | on {shown.dataset} | why |", "|---|---|---|---|", *rows, ""]


def _sentences(texts: list[str]) -> list[str]:
    return [line for text in texts for line in (_as_text(text), "")]


def _as_cell(text: str) -> str:
    """Nothing begins a list in a table."""
    return _as_text(f" {text}").strip()


def _as_text(text: str) -> str:
    return prose(text, lambda name: None) if text else ""
