"""The card of a method: equation, source, recipe, what to tune, how it ranks here, when to use it.

`dmlteach methods NAME` prints it, and the reference has a page of each. Numbers come from the committed runs
and the published results, sentences from one table.
"""

from dmlteach.course.cards.contents import Card, card

__all__ = ["Card", "card"]
