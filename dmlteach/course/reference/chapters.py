"""What the code of a chapter takes from the package."""

import ast


def names_in_code(cells: list[str]) -> list[str]:
    """Whole names of the package that cells import or reach through an import, in order of their first use.

    Args:
        cells: code of a notebook; a cell that Python alone does not understand is passed over.

    Returns:
        E.g. ["dmlteach.data", "dmlteach.data.load"].
    """
    known: dict[str, str] = {}
    found: dict[str, None] = {}
    for cell in cells:
        try:
            nodes = sorted(ast.walk(ast.parse(cell)), key=lambda node: getattr(node, "lineno", 0))
        except SyntaxError:
            continue
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dmlteach":
                imported = {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
                known |= imported
                found |= dict.fromkeys(imported.values())
            elif isinstance(node, ast.Import):
                known |= {
                    alias.asname or "dmlteach": alias.name
                    for alias in node.names
                    if alias.name.startswith("dmlteach")
                }
            elif isinstance(node, ast.Attribute):
                first, *rest = ast.unparse(node).split(".")
                if first in known and all(map(str.isidentifier, rest)):
                    found[".".join([known[first], *rest])] = None
    return list(found)
