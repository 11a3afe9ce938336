"""Not written yet."""


def load(part, root):
    raise NotImplementedError


def check(root):
    raise NotImplementedError
