"""Explorable figures: each a small front-end module, fed by the library's own functions in the kernel."""

from dmlteach.widgets.playground import TripletPlayground
from dmlteach.widgets.retrieval_browser import RetrievalBrowser
from dmlteach.widgets.values import loss_and_gradient

__all__ = ["RetrievalBrowser", "TripletPlayground", "loss_and_gradient"]
