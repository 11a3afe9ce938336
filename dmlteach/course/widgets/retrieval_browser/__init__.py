"""Queries, and what a network finds for them."""

from dmlteach.course.widgets.retrieval_browser.widget import RetrievalBrowser

__all__ = ["RetrievalBrowser"]
