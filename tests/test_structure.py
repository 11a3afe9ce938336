"""The shape of the code: imports go one way, functions fit a screen, documented arguments are real."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "dmlteach"

# What each room of the house may import beside itself. The library's rooms may all import the ground.
GROUND = {
    "errors", "options", "registry", "inputs", "files", "device", "distributed", "distances", "interfaces",
    "neighbors", "foreign",
}  # fmt: skip
LIBRARY: dict[str, set[str]] = {
    "data": set(),
    "samplers": {"data"},
    "losses": {"data", "samplers"},
    "objective": {"data", "samplers", "losses"},
    "models": {"data"},
    "embeddings": {"data", "models"},
    "metrics": set(),
    "evaluation": {"data", "models", "embeddings", "metrics"},
    "methods": {"data", "samplers", "losses", "objective", "models"},
}
BELOW_THE_SURFACE = GROUND | {*LIBRARY, "train", "sweep"}
SURFACE = {"plots", "search", "export"}
MAY_IMPORT = {
    **{room: GROUND for room in GROUND},
    **{room: GROUND | others for room, others in LIBRARY.items()},
    "train": GROUND | {*LIBRARY},
    "sweep": GROUND | {*LIBRARY, "train"},
    **{room: BELOW_THE_SURFACE | SURFACE for room in SURFACE},
    "course": BELOW_THE_SURFACE | SURFACE,
    "doctor": set(),
    "cli": BELOW_THE_SURFACE | SURFACE | {"course", "doctor"},
    "__main__": {"cli"},
}
LONGEST_FUNCTION = 60  # lines without the docstring
FILES = sorted(path for path in PACKAGE.rglob("*.py"))


def ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(PACKAGE)) for path in paths]


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in FILES}


def imported_modules(path: Path) -> Iterator[tuple[str, int]]:
    """Modules of the package that a file imports, at the top or inside functions, with the line."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dmlteach":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield (whole if whole in MODULES else str(node.module)), node.lineno
        elif isinstance(node, ast.Import):
            yield from ((a.name, node.lineno) for a in node.names if a.name.split(".")[0] == "dmlteach")
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports in full, from dmlteach.…"


def part(module: str) -> str:
    """ "dmlteach.losses.sst" is part of "losses"; the package itself is ""."""
    return module.partition(".")[2].split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=ids(FILES))
def test_each_room_imports_only_what_it_may(path):
    own = part(module_name(path))
    if not own:
        return  # dmlteach/__init__.py names everything, lazily: see the test below
    assert own in MAY_IMPORT, f"{own} is new: say in MAY_IMPORT what it may import"
    against = [
        f"line {line}: {own} must not import {imported}"
        for imported, line in imported_modules(path)
        if part(imported) not in MAY_IMPORT[own] | {"", own}
    ]
    assert not against


# What reads no notebook, draws no picture and speaks to no terminal needs nothing that does.
OF_THE_SURFACE = {
    "IPython", "anywidget", "ipywidgets", "matplotlib", "openTSNE", "pandas", "papermill", "rich", "seaborn",
    "typer",
}  # fmt: skip
UNSEEN = [path for path in FILES if part(module_name(path)) in BELOW_THE_SURFACE]


@pytest.mark.parametrize("path", UNSEEN, ids=ids(UNSEEN))
def test_the_library_imports_nothing_that_draws_or_speaks(path):
    named = {
        name.split(".")[0]
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([str(node.module)] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
    }
    assert not named & OF_THE_SURFACE


def test_no_modules_import_each_other_in_a_circle():
    graph = {
        name: {imported for imported, _ in imported_modules(path) if imported != name}
        for name, path in MODULES.items()
        if name != "dmlteach"
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " → ".join([*trail[trail.index(module) :], module])
        if module not in done:
            for imported in sorted(graph.get(module, ())):
                visit(imported, (*trail, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())


HEAVY = ("torch", "numpy", "pandas", "matplotlib", "faiss", "IPython", "rich.console")


def heavy_after(code: str) -> str:
    """The heavy packages that are imported once the code has run."""
    code += f"; import sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "module",
    [
        "dmlteach",
        "dmlteach.cli",
        "dmlteach.doctor",
        "dmlteach.sweep.ray_cluster",
        "dmlteach.train",
        "dmlteach.train.config",
    ],
)
def test_importing_it_imports_nothing_heavy(module):
    assert heavy_after(f"import {module}") == "[]"


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["data", "list", "--help"]], ids=" ".join)
def test_help_imports_nothing_heavy(words):
    assert heavy_after(f"from dmlteach.cli import app; app({words}, standalone_mode=False)") == "[]"


def test_what_is_heavy_would_be_seen():
    assert "torch" in heavy_after("import dmlteach; dmlteach.train.Run")


def test_public_names_resolve_and_evaluate_stays_a_function():
    import dmlteach.evaluate

    import dmlteach

    for name in dmlteach.__all__:
        assert getattr(dmlteach, name) is not None, name
    assert callable(dmlteach.evaluate)
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        dmlteach.evalute  # noqa: B018


def test_notebooks_written_before_modules_moved_find_them():
    code = """
from dmlteach.das import DAS
from dmlteach.evaluate import embed, evaluate
from dmlteach.exercises import check
import dmlteach.evaluate
print(callable(dmlteach.evaluate), dmlteach.das.DAS is DAS, embed is dmlteach.embed)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "True"]


def test_what_a_training_of_ones_own_needs_is_there_after_a_plain_import():
    code = "import dmlteach; print(dmlteach.train.Run, dmlteach.embed, dmlteach.interfaces.Batch)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "train.loop.Run" in done.stdout and "function embed" in done.stdout


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef))


def body_length(function: ast.FunctionDef) -> int:
    """Lines from the first statement after the docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", FILES, ids=ids(FILES))
def test_functions_fit_a_screen(path):
    lengths = {function.name: body_length(function) for function in functions(path)}
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}


def public(path: Path) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """Public functions, classes and methods of a file, by qualified name."""
    for node in parsed(path).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield node.name, node
        for inner in node.body if isinstance(node, ast.ClassDef) else []:
            if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                yield f"{node.name}.{inner.name}", inner


def signature(node: ast.FunctionDef | ast.ClassDef) -> list[str]:
    """Names of the arguments; of a class, those of its constructor or its annotated fields."""
    if isinstance(node, ast.ClassDef):
        constructor = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        if not constructor:
            fields = [n.target for n in node.body if isinstance(n, ast.AnnAssign)]
            return [target.id for target in fields if isinstance(target, ast.Name)]
        node = constructor[0]
    a = node.args
    names = [arg.arg for arg in [*a.posonlyargs, *a.args, *filter(None, [a.vararg]), *a.kwonlyargs]]
    names += [a.kwarg.arg] if a.kwarg else []
    return [name for name in names if name not in ("self", "cls")]


def documented(docstring: str, section: str = "Args:") -> list[str] | None:
    """Names under a heading, in order; None where there is no such section.

    A line may introduce several: `loss, loss_options: …`; stars may be written.
    """
    lines = docstring.splitlines()
    if section not in [line.strip() for line in lines]:
        return None
    start = next(i for i, line in enumerate(lines) if line.strip() == section)
    margin = len(lines[start]) - len(lines[start].lstrip())
    names: list[str] = []
    indent = None
    for line in lines[start + 1 :]:
        if not line.strip():
            break
        depth = len(line) - len(line.lstrip())
        if depth <= margin:
            break
        indent = indent or depth
        if depth == indent:
            names += [name.strip(" *`") for name in line.partition(":")[0].split(",")]
    return names


@pytest.mark.parametrize("path", FILES, ids=ids(FILES))
def test_documented_arguments_are_those_of_the_signature(path):
    for name, node in public(path):
        in_docs = documented(ast.get_docstring(node) or "")
        if in_docs is not None:
            assert in_docs == signature(node), name


@pytest.mark.parametrize("path", FILES, ids=ids(FILES))
def test_documented_attributes_of_a_class_without_a_constructor_are_its_fields(path):
    for name, node in public(path):
        in_docs = documented(ast.get_docstring(node) or "", "Attributes:")
        if in_docs is not None and "__init__" not in [getattr(one, "name", "") for one in node.body]:
            assert sorted(in_docs) == sorted(signature(node)), name


def test_the_options_of_a_training_are_listed_in_its_docstring_which_is_made_of_them():
    from dataclasses import fields

    from dmlteach.train import TrainConfig

    text = TrainConfig.__doc__ or ""
    assert documented(text, "Attributes:") == [field.name for field in fields(TrainConfig)]
    assert "        epochs: Epochs of training. Default: the recipe's.\n" in text


@pytest.mark.parametrize("path", FILES, ids=ids(FILES))
def test_modules_and_public_functions_have_docstrings(path):
    assert ast.get_docstring(parsed(path)), "the module"
    bare = [name for name, node in public(path) if "." not in name and not ast.get_docstring(node)]
    assert bare == []


def test_the_docstring_reader_sees_a_wrong_name():
    function = ast.parse("def f(a, *b, c=1, **d): pass").body[0]
    assert signature(function) == ["a", "b", "c", "d"]
    assert documented("F.\n\nArgs:\n    a: x\n    b, c: y\n      z: no name\n    **d: w") == [
        "a",
        "b",
        "c",
        "d",
    ]
    assert documented("F.\n\nArgs:\n    q: x\n\nReturns:\n    a: y") == ["q"]
    assert documented("F, without.") is None


@pytest.mark.parametrize("path", FILES, ids=ids(FILES))
def test_text_is_opened_with_an_encoding_which_systems_do_not_share(path):
    opened = [n for n in ast.walk(parsed(path)) if isinstance(n, ast.Call)]
    for call in (call for call in opened if isinstance(call.func, ast.Name) and call.func.id == "open"):
        mode = ast.unparse(call.args[1]) if len(call.args) > 1 else "'r'"
        named = any(keyword.arg == "encoding" for keyword in call.keywords)
        assert "b" in mode or named, f"{path}:{call.lineno} opens text without encoding="
