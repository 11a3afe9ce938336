"""Which point does a proxy listen to: how much each point of a circle draws or pushes it."""

from dmlteach.course.widgets.proxy_explorer.widget import ProxyExplorer

__all__ = ["ProxyExplorer"]
