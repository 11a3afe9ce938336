"""The reference: everything public is on exactly one page, and a loss has all it should show."""

import hashlib
import importlib
import inspect
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import fields
from pathlib import Path

import pytest

import dmlteach
from dmlteach import course, losses, methods
from dmlteach.course.cards import card
from dmlteach.course.plots.weights import weights_against_distance
from dmlteach.course.reference.chapters import names_in_code
from dmlteach.course.reference.losses import NO_CURVE, chapters
from dmlteach.course.reference.markdown import escaped, prose
from dmlteach.course.reference.names import Names
from dmlteach.course.reference.package import PACKAGE, modules
from dmlteach.course.reference.pages import pages
from dmlteach.errors import DMLTeachError
from dmlteach.train.config import TrainConfig
from dmlteach.train.option import about

DIRECTIVE = re.compile(
    r"^`{3,}\{py:(function|class|method|property|data)\} (\w+).*\n:module: (\S+)\n(?::canonical: (\S+))?",
    re.M,
)


@pytest.fixture(scope="module")
def site() -> dict[str, str | bytes]:
    """Every page as text, every picture as bytes."""
    made = pages(course.CHECKOUT)
    return {path: content.decode() if path.endswith(".md") else content for path, content in made.items()}


@pytest.fixture(scope="module")
def names() -> Names:
    return Names(modules())


def shown(site) -> list[tuple[str, str, str]]:
    """Kind, name to import by, and home, of every function, class and constant on the pages."""
    found = [match for text in site.values() if isinstance(text, str) for match in DIRECTIVE.findall(text)]
    return [
        (kind, f"{module}.{name}", home or f"{module}.{name}")
        for kind, name, module, home in found
        if kind in ("function", "class", "data")
    ]


def defined_in_the_library() -> set[str]:
    """Public functions and classes, as Python sees them once every module is imported."""
    found = set()
    for info in pkgutil.walk_packages(dmlteach.__path__, "dmlteach."):
        room = info.name.split(".")[1]
        if room in ("cli", "__main__", "doctor", "course"):
            continue
        module = importlib.import_module(info.name)
        found |= {
            f"{info.name}.{name}"
            for name, thing in vars(module).items()
            if not name.startswith("_")
            and (inspect.isfunction(inspect.unwrap(thing)) or inspect.isclass(thing))
            and thing.__module__ == info.name
            and thing.__name__ == name
        }
    return found


def test_every_public_function_and_class_is_on_exactly_one_page(site):
    homes = Counter(home for kind, _, home in shown(site))
    assert [home for home, times in homes.items() if times > 1] == []
    functions = {home for kind, _, home in shown(site) if kind != "data"}
    assert {home for home in functions if not home.startswith("dmlteach.course.")} == defined_in_the_library()


def test_the_first_page_says_of_each_part_what_its_own_docstring_says(site):
    rows = dict(
        re.findall(r"^\| \[`(dmlteach\.\w+)`\]\(api/\w+\.md\) \| (.*) \|$", site["docs/api.md"], re.M)
    )
    assert {"dmlteach.course", "dmlteach.losses", "dmlteach.device"} <= set(rows)
    for module, said in rows.items():
        first = " ".join(inspect.getdoc(importlib.import_module(module)).partition("\n\n")[0].split())
        assert said == prose(first, lambda _: None)


def test_whatever_a_package_lists_is_there_by_a_name_that_can_be_imported(site, names):
    on_pages = {name for _, name, _ in shown(site)}
    listing = ["dmlteach", *(f"dmlteach.{module}" for module in dmlteach.MODULES)]
    listing += [f"dmlteach.{home}" for home in dmlteach.IN_THE_COURSE.values()]
    missing = []
    for package in listing:
        for name in getattr(importlib.import_module(package), "__all__", ()):
            thing = getattr(importlib.import_module(package), name)
            entry = names.entries.get(f"{package}.{name}")
            if not inspect.ismodule(thing) and (entry is None or entry.name not in on_pages):
                missing.append(f"{package}.{name}")
    assert missing == []
    for name in on_pages:
        module, _, last = name.rpartition(".")
        assert hasattr(importlib.import_module(module), last), name


@pytest.mark.parametrize("name", losses.names())
def test_the_page_of_a_loss_has_equation_curve_and_methods(site, name):
    page = site[f"docs/api/losses/{name}.md"]
    equation = " ".join(inspect.getdoc(getattr(losses, f"{name}_loss")).partition("\n\n")[0].split())
    assert prose(equation, lambda _: None) in re.sub(r"\{py:obj\}`(\S+) <\S+>`", r"`\1`", page)
    picture = site.get(f"docs/api/losses/{name}.png")
    if losses.LOSSES[name].compares == "examples within one head":
        assert NO_CURVE in page and picture is None
    else:
        assert picture.startswith(b"\x89PNG")
        assert site[f"docs/api/losses/{name}_on_a_phone.png"].startswith(b"\x89PNG")
        assert f"![{escaped(weights_against_distance(name).alt)}]({name}.png)" in page
    listed = page.split("## Methods")[1].split("## ")[0]
    users = [method for method in methods.names() if methods.get(method).loss == name]
    for method in users:
        assert f"[`{method}`](../methods/{method}.md)" in listed
    assert users or "No method is made of it" in listed
    for option in losses.options(name):
        assert option in page


def test_a_recipe_is_shown_as_published_and_as_the_data_set_changes_it_and_why(site):
    recipe = site["docs/api/methods/multi_similarity.md"].split("## Recipe")[1]
    row = next(line for line in recipe.splitlines() if line.startswith("| batch"))
    assert row.startswith("| batch | 80 images, 5 of a class | 256 images, 4 of a class | Drawings are small")


@pytest.mark.parametrize("name", methods.names())
def test_the_page_of_a_method_is_its_card_with_a_link_to_its_loss(site, name):
    page, shown = site[f"docs/api/methods/{name}.md"], card(name)
    for heading, sentences in shown.sections():
        assert f"\n## {heading}\n" in page
        for sentence in sentences:
            assert prose(sentence, lambda _: None) in page
    loss = methods.get(name).loss
    assert f"](../losses/{loss}.md)" in page and f"docs/api/losses/{loss}.md" in site
    assert f"[`{name}`](methods/{name}.md)" in site["docs/api/methods.md"]
    assert f"\nmethods/{name}\n" in site["docs/api/methods.md"]


def test_a_loss_names_the_chapters_that_use_it():
    found = [path.stem for path, _ in chapters("sst", course.CHECKOUT)]
    assert "triplet_versus_sst_gradients" in found
    assert chapters("lifted_generalized", course.CHECKOUT) == []


def test_no_section_of_a_docstring_is_left_unread(site):
    for path, text in site.items():
        if isinstance(text, str):
            assert not re.search(r"^\s*(Args|Returns|Raises|Attributes|Yields|Source):\s*$", text, re.M), path


@pytest.mark.slow
def test_building_anew_in_another_process_gives_the_same_files(site):
    code = (
        "import hashlib, sys, pathlib; from dmlteach.course.reference.pages import pages\n"
        "for path, content in sorted(pages(pathlib.Path(sys.argv[1])).items()):\n"
        "    print(path, hashlib.sha256(content).hexdigest())"
    )
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"  # another order of sets than here
    done = subprocess.run(
        [sys.executable, "-c", code, str(course.CHECKOUT)],
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent), "PYTHONHASHSEED": seed},
        check=True,
        capture_output=True,
        text=True,
    )
    here = {path: content.encode() if isinstance(content, str) else content for path, content in site.items()}
    assert done.stdout.splitlines() == [
        f"{path} {hashlib.sha256(content).hexdigest()}" for path, content in sorted(here.items())
    ]


@pytest.fixture
def copy(tmp_path) -> Path:
    """The package's sources, to change."""
    shutil.copytree(PACKAGE, tmp_path / "dmlteach", ignore=lambda folder, files: [
        one for one in files if "." in one and not one.endswith(".py")
    ])  # fmt: skip
    return tmp_path / "dmlteach"


def test_a_new_function_in_a_new_file_appears_without_a_change_elsewhere(copy):
    (copy / "metrics" / "new.py").write_text(
        '"""New."""\n\n\ndef brand_new(x: int) -> int:\n    """A new one."""\n'
    )
    found = Names(modules(copy)).find("brand_new")
    assert found.name == "dmlteach.metrics.new.brand_new" and found.signature == "(x: int) -> int"


def test_a_broken_docstring_in_the_package_is_an_error_that_names_the_function(copy):
    file = copy / "distances.py"
    text = file.read_text().replace("\n    Args:\n", "\n    Parameters:\n", 1)
    file.write_text(text)
    with pytest.raises(
        DMLTeachError, match=r"the docstring of dmlteach\.distances\.\w+ has a section 'Parameters'"
    ):
        modules(copy)


@pytest.mark.parametrize(
    "text, meant",
    [
        ("kmeans", "dmlteach.neighbors.kmeans"),
        ("dmlteach.neighbors.kmeans(z, k, seed)", "dmlteach.neighbors.kmeans"),
        ("samplers.create", "dmlteach.samplers.create"),
        ("losses.triplet", "dmlteach.losses.triplet"),
        ("losses.Triplet", "dmlteach.losses.triplet.Triplet"),
        ("triplet_hinges", "dmlteach.losses.triplet.triplet_hinges"),
        ("Sampler.plan", "dmlteach.interfaces.Sampler.plan"),
        ("fit(config)", "dmlteach.fit"),
        ("dmlteach.models.load", "dmlteach.load_model"),
        ("dmlteach.exercises.check", "dmlteach.course.exercises.check"),
        ("hint('a.b')", "dmlteach.course.exercises.hint"),
        ("losses.global_loss", "dmlteach.losses.global_loss"),
        ("create", None),  # of losses, samplers or models
        ("fit", None),  # a part of a data set, too
        ("margin", None),  # an option
        ("normalize", None),  # a function, but an option as well
        ("page", None),  # a word
        ("no_such_thing", None),
        ("a + b", None),
    ],
)
def test_a_name_in_code_font_means_an_entry_only_where_that_is_clear(names, text, meant):
    found = names.find(text)
    assert (found.name if found else None) == meant


def test_near_its_own_module_a_short_name_is_clear(names):
    assert names.find("create", near="dmlteach.samplers").name == "dmlteach.samplers.create"
    assert names.find("names()", near="dmlteach.methods").name == "dmlteach.methods.names"


def test_names_in_docstrings_are_links_and_arguments_are_not(site):
    page = site["docs/api/losses/triplet.md"]
    assert "origins`: of {py:obj}`triplet_loss <dmlteach.losses.triplet_loss>`" in page
    assert "{py:obj}`num_targets" not in page


def test_fields_are_explained_by_the_comments_beside_them_where_no_docstring_does(site):
    page = site["docs/api/interfaces.md"].replace("\\", "")
    assert "- `embeddings`: (M, D) fp32" in page and "- `labels`: (M,) 0 … C-1" in page


def test_text_is_shown_as_it_stands_in_the_docstring():
    text = "w_{m+1} = [x]₊ * <y> of |P⁺|, $5 #1 ~ `a_*b` and **c**"
    made = prose(text, lambda _: None)
    assert "`a_*b`" in made
    assert re.sub(r"\\(.)", r"\1", made) == text
    assert escaped("- no list").startswith("\\-") and escaped("1. no list").startswith("1\\")


def test_what_the_code_of_a_chapter_takes_from_the_package_is_found():
    cells = [
        "from dmlteach import data, losses as l\nfrom dmlteach.plots.style import Picture\nimport dmlteach",
        "%matplotlib inline\nx = (",
        "d = data.load('omniglot', 'test')\nl.triplet_loss(d.x, y)\ndmlteach.fit(c)\nother.thing()",
    ]
    assert names_in_code(cells) == [
        "dmlteach.data", "dmlteach.losses", "dmlteach.plots.style.Picture", "dmlteach.data.load",
        "dmlteach.losses.triplet_loss", "dmlteach.fit",
    ]  # fmt: skip


def test_an_option_of_a_training_is_told_as_its_field_tells_it(site):
    page = site["docs/api/train.md"]
    signature = next(line for line in page.splitlines() if "{py:class} TrainConfig(" in line)
    assert "method: str = 'sst'" in signature and "epochs: int | None = None" in signature
    assert "`" not in signature.partition("{py:class}")[2]  # or the fence of the directive would end there
    for field in fields(TrainConfig):
        first = about(field).help.partition("`")[0].partition(",")[0]
        assert first in page.replace("\\", "")
    assert "Epochs of training. Default: the recipe's." in page
