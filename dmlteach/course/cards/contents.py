"""The card itself: what it holds, and how it is put together."""

import inspect
from typing import NamedTuple

from dmlteach import losses, methods
from dmlteach.course.cards.advice import ADVICE
from dmlteach.course.cards.numbers import ranges, ranks, reported
from dmlteach.course.cards.recipe import Row, recipe_on
from dmlteach.course.reports.commands import training
from dmlteach.methods import Method
from dmlteach.train import TrainConfig

SOURCE, RECIPE = "Source", "Recipe"  # headings under which more stands than sentences
GEOMETRY = {"euclidean": "embeddings as they are", "sphere": "embeddings scaled to length 1"}


class Card(NamedTuple):
    """What there is to know of a method.

    Attributes:
        method: our id.
        equation, loss: what is minimized; sentence on the loss.
        source: the paper.
        command: that trains it as its authors ran it, where options differ from the recipe; "" elsewhere.
        dataset: for which the recipe is adapted.
        recipe: its parts.
        tune, rank, reported: sentences: what to tune in which range, how it ranks here, what papers report.
        use, avoid: when to use it, when not.
    """

    method: str
    equation: str
    loss: str
    source: str
    command: str
    dataset: str
    recipe: list[Row]
    tune: list[str]
    rank: list[str]
    reported: list[str]
    use: str
    avoid: str

    def sections(self) -> list[tuple[str, list[str]]]:
        """Headings, each with its sentences; that of the recipe has the rows of `recipe` besides."""
        source = [f"{self.source}."]
        if self.command:
            source.append("As its authors ran it, with weights in FILE and images in DIR:")
        recipe = f"As published, and what {self.dataset} has otherwise:"
        if all(row.here == row.published for row in self.recipe):
            recipe = f"As published, and so on {self.dataset}:"
        return [
            ("Equation", [self.equation, self.loss]),
            (SOURCE, source),
            (RECIPE, [recipe]),
            ("What to tune first", self.tune),
            ("How it ranks here", self.rank),
            ("What is published", self.reported),
            ("When to use it", [self.use]),
            ("When not", [self.avoid]),
        ]


def card(method: str, dataset: str = TrainConfig.dataset) -> Card:
    """The card of a method, with its recipe on a data set.

    Args:
        method: one of `methods.names()`.
        dataset: for which the recipe is adapted.

    Raises:
        DMLTeachError: no such method.
    """
    recipe, advice = methods.get(method), ADVICE[method]
    beside = f"Beside the rate, {advice.tune[0].lower()}{advice.tune[1:]}"
    return Card(
        method=method,
        equation=equation(recipe.loss),
        loss=about_loss(recipe),
        source=recipe.paper,
        command=as_published(method),
        dataset=dataset,
        recipe=recipe_on(method, dataset),
        tune=[*ranges(method), beside],
        rank=ranks(method),
        reported=reported(method),
        use=advice.use,
        avoid=advice.avoid,
    )


def equation(loss: str) -> str:
    """What a loss is: the first paragraph of its function's docstring.

    Args:
        loss: its name.
    """
    first = (inspect.getdoc(getattr(losses, f"{loss}_loss")) or "").partition("\n\n")[0]
    return " ".join(first.split())


def about_loss(recipe: Method) -> str:
    """The loss of a recipe, what it compares, and the options it takes.

    Args:
        recipe: with the loss.
    """
    kind = losses.LOSSES[recipe.loss]
    facts = ("num_classes", "embedding_dim", "dims")
    known = [
        f"{name}={parameter.default}"
        for name, parameter in losses.options(recipe.loss).items()
        if name not in facts
    ]
    options = f" Options and their defaults: {', '.join(known)}." if known else " It has no options."
    return f"Loss `{recipe.loss}`; it compares {kind.compares}, {GEOMETRY[kind.geometry]}.{options}"


def as_published(method: str) -> str:
    """The command that trains a method as its authors ran it; "" where that is its recipe.

    Args:
        method: our id.
    """
    options = methods.AS_PUBLISHED.get(method)
    if options is None:
        return ""
    return training({"method": method, "dataset": "cub200", "root": "DIR", "weights": "FILE", **options})
