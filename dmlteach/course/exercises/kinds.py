"""The kinds of exercises. Each compares an answer in its own way and says what it found."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from random import Random
from typing import Any, NamedTuple
from zlib import crc32

import torch
from torch import Tensor

from dmlteach.course.exercises.answers import RaisedError, ask
from dmlteach.course.exercises.replies import NOT_YET, RIGHT, TO_COMPARE, Reply
from dmlteach.course.exercises.written import UnreadableError, read

# What is said to numbers and to choices, here and on a page without a kernel.
TOO_LARGE, TOO_SMALL = "It is too large.", "It is too small."
IN_PERCENT = "This would be right in percent: write it as a fraction, or with a percent sign."
NOT_ALL = "At least one of them is something else."
THESE = "These, and no others."
READ_EACH, NONE_CHOSEN = "Read what each of your choices does.", "Nothing is chosen."
YOUR_REASON = " (Your reason: {})"


class Teaching(NamedTuple):
    """What a teacher should know of an exercise.

    Attributes:
        minutes: to plan for somebody who has read the chapter; no class was timed.
        often: the mistake that is most to be expected.
        say: what to ask whoever has made it, so that they find it themselves; never the answer.
    """

    minutes: int
    often: str
    say: str


NO_TEACHING = Teaching(0, "", "")


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """What every kind has.

    Attributes:
        id: stable name, e.g. "sst.sum_to_zero"; progress is kept under it.
        number: as it is displayed, e.g. "02.1".
        title: a few words.
        question: Markdown.
        hints: the first gives a direction, the last nearly the answer.
        solution: Python code that binds `answer`.
        teaching: for whoever teaches; every exercise of the course has it, one of a teacher's own need not.
        explanation: why the solution is right, shown with it.
        setup: code for the names that the chapter has defined by then and the solution uses.
    """

    id: str
    number: str
    title: str
    question: str
    hints: tuple[str, ...]
    solution: str
    teaching: Teaching = NO_TEACHING
    explanation: str = ""
    setup: str = ""

    @property
    def heading(self) -> str:
        return f"Exercise {self.number} · {self.title}"

    @property
    def text(self) -> str:
        """The question with all that belongs to it, as Markdown."""
        return self.question

    @property
    def solved(self) -> str:
        """A solution and why it is one, as Markdown."""
        return f"```python\n{self.solution.strip()}\n```\n\n{self.explanation}".strip()

    @property
    def has_own_numbers(self) -> bool:
        """Whether `variant` asks for another answer."""
        return False

    @property
    def varies(self) -> bool:
        """Whether `variant` gives another exercise: with other numbers, or judged on other inputs."""
        return self.has_own_numbers

    def variant(self, number: int) -> "Exercise":
        """The same exercise with other numbers; itself, where it has none to vary.

        Args:
            number: from which the others follow.
        """
        return self

    def reference(self) -> Any:
        """The answer that the solution gives."""
        names: dict[str, Any] = {}
        exec(compile(f"{self.setup}\n{self.solution}", f"<solution of {self.id}>", "exec"), names)
        return names["answer"]

    def judge(self, answer: Any) -> Reply:
        """Compare an answer; `...` never arrives here.

        Raises:
            RaisedError: the reader's code raised.
        """
        raise NotImplementedError

    def for_page(self) -> dict[str, Any] | None:
        """All that a page needs to judge as `judge` does (`in_page/judge.js`), as JSON has it.

        None: the answer is code, or is looked into by code, and a page without a kernel cannot judge it.
        """
        return None

    def name_inputs(self, inputs: tuple) -> dict[str, Any]:
        """Inputs on which the reader's code raised, by name, where the exercise names any."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Function(Exercise):
    """A function, compared with an independent definition on inputs the reader does not see.

    Attributes:
        arguments: names of its arguments, for the case in numbers.
        definition: the independent one.
        cases: inputs, random and degenerate, from a generator.
        returns: what it returns, in words.
        gradients: compare the gradients with respect to the inputs, too.
        mistakes: (a wrong function, what to say to whoever wrote it).
        tolerance: relative and absolute.
        inputs: which of the random ones are hidden.
    """

    arguments: tuple[str, ...]
    definition: Callable
    cases: Callable[[torch.Generator], Sequence[tuple]]
    returns: str
    gradients: bool = False
    mistakes: tuple[tuple[Callable, str], ...] = ()
    tolerance: float = 1e-5
    inputs: int = 0

    @property
    def varies(self) -> bool:
        """It is judged on other inputs."""
        return True

    def variant(self, number: int) -> "Function":
        """The same function, judged on other inputs."""
        return replace(self, inputs=number)

    def judge(self, answer: Any) -> Reply:
        """Right if it agrees on every case; otherwise the smallest case on which it does not."""
        if not callable(answer):
            words = f"This is {kind_of(answer)}; a function of {', '.join(self.arguments)} is asked for."
            return Reply(NOT_YET, words, expected=self.returns)
        cases = sorted(
            self.cases(torch.Generator().manual_seed(crc32(self.id.encode()) ^ self.inputs)), key=_size
        )
        for case in cases:
            given, expected = ask(answer, *case), self.definition(*case)
            if given is ...:
                raise Unanswered
            if (problem := _unlike(given, expected)) is not None:
                return self._reply(case, problem, {"your answer": given})
            if not self._agree(given, expected):
                words = self._recognise(answer, cases) or "On this input your function differs."
                return self._reply(case, words, {"your answer": given, "right": expected})
        return self._compare_gradients(answer, cases) if self.gradients else self._right(len(cases))

    def _right(self, number: int) -> Reply:
        also = " and its gradients agree" if self.gradients else " agrees"
        return Reply(RIGHT, f"Your function{also} with an independent definition on {number} inputs.")

    def _reply(self, case: tuple, words: str, found: Mapping[str, Any]) -> Reply:
        return Reply(NOT_YET, words, self.returns, {**self.name_inputs(case), **found}, case)

    def name_inputs(self, inputs: tuple) -> dict[str, Any]:
        """Each input by the name of its argument."""
        return dict(zip(self.arguments, inputs, strict=True))

    def _agree(self, given: Any, expected: Any) -> bool:
        a, b = tensor_of(given), tensor_of(expected)
        return a is not None and b is not None and a.shape == b.shape and _close(a, b, self.tolerance)

    def _recognise(self, answer: Callable, cases: Sequence[tuple]) -> str | None:
        """What to say if the answer does everywhere what a known mistake does."""
        try:
            given = [ask(answer, *case) for case in cases]
        except RaisedError:
            return None
        for mistake, words in self.mistakes:
            if all(self._agree(g, mistake(*case)) for g, case in zip(given, cases, strict=True)):
                return words
        return None

    def _compare_gradients(self, answer: Callable, cases: Sequence[tuple]) -> Reply:
        for case in cases:
            try:
                given, traced = _gradients(lambda *inputs: ask(answer, *inputs), case)
            except RuntimeError as error:  # e.g. a value that backward needs was changed in place
                return self._reply(case, f"The value is right, but torch cannot go back: {error}", {})
            expected, _ = _gradients(self.definition, case)
            for name, mine, right in zip(self._differentiable(case), given, expected, strict=True):
                if not _close(mine, right, self.tolerance):
                    words = f"The value is right, the gradient in {name} is not."
                    if not traced:
                        words += (
                            " The result has lost its connection to the inputs: `.item()`, `float()`, "
                            "`.detach()` and `torch.tensor()` cut it."
                        )
                    found = {f"your gradient in {name}": mine, "right": right}
                    return self._reply(case, words, found)
        return self._right(len(cases))

    def _differentiable(self, case: tuple) -> list[str]:
        return [n for n, x in zip(self.arguments, case, strict=True) if _is_real(x)]


class Unanswered(Exception):
    """Found only on calling it: the function returns `...`."""


@dataclass(frozen=True, kw_only=True)
class Number(Exercise):
    """A number, or several.

    Attributes:
        value: computes the right one; a tuple if several are asked for.
        means: what it is, in words.
        parts: what each of several numbers is, in a few words: a page writes them beside the fields.
        decimals: to how many the question asks to round; None where the number is exact.
        tolerance: absolute, of a number that is not rounded.
        percent: what 1 % is: 0.01 where a fraction is asked for, 1 where percent or points are; None where
            a percent sign makes no sense.
        any_order: several numbers count in any order.
        mistakes: (a wrong value, what to say to whoever gave it).
        with_numbers: the same exercise about other numbers, which are drawn.
    """

    value: Callable[[], float | tuple[float, ...]]
    means: str
    parts: tuple[str, ...] = ()
    decimals: int | None = None
    tolerance: float = 1e-3
    percent: float | None = None
    any_order: bool = False
    mistakes: tuple[tuple[Callable[[], float | tuple[float, ...]], str], ...] = ()
    with_numbers: Callable[[Random], "Number"] | None = None

    @property
    def has_own_numbers(self) -> bool:
        """Whether it is written for other numbers as well."""
        return self.with_numbers is not None

    def variant(self, number: int) -> "Number":
        """The same question about other numbers."""
        return self.with_numbers(Random(number)) if self.with_numbers else self

    @property
    def within(self) -> float:
        """How far off is still right: the tolerance, and half of the last digit that is asked for."""
        return self.tolerance + (0 if self.decimals is None else 0.5 * 10**-self.decimals)

    def judge(self, answer: Any) -> Reply:
        """Right as far as it is asked for; texts are read as people write numbers."""
        try:
            numbers, doubts = read(answer, self.percent)
        except UnreadableError as error:
            return Reply(NOT_YET, str(error))
        return replace(self._compare(numbers), details=doubts)

    def _compare(self, answer: Any) -> Reply:
        right = tensor_of(self.value())
        given = tensor_of(answer)
        assert right is not None
        how_many = "a number is" if right.ndim == 0 else f"{len(right)} numbers are"
        if given is None or given.dtype == torch.bool:
            return Reply(NOT_YET, f"This is {kind_of(answer)}; {how_many} asked for.", self.means)
        if given.shape != right.shape:
            return Reply(
                NOT_YET, f"This has the shape {tuple(given.shape)}; {how_many} asked for.", self.means
            )
        if self._same(given, right):
            return Reply(RIGHT, self._right_words)
        case = {"your answer": given}
        for value, words in self.mistakes:
            wrong = tensor_of(value())
            if wrong is not None and wrong.shape == given.shape and self._same(given, wrong):
                return Reply(NOT_YET, words, self.means, case)
        if right.ndim == 0:
            words = TOO_LARGE if given > right else TOO_SMALL
            if self.percent == 0.01 and self._same(given / 100, right):
                words = IN_PERCENT
        else:
            words = NOT_ALL
        return Reply(NOT_YET, words, self.means, case)

    def for_page(self) -> dict[str, Any]:
        """Right and near numbers as `judge` compares them, what to say to each, and to all others."""
        right = tensor_of(self.value())
        assert right is not None
        near = [(tensor_of(value()), words) for value, words in self.mistakes]
        return {
            "kind": "number",
            "several": right.ndim == 1,
            "parts": list(self.parts),
            "right": right.reshape(-1).tolist(),
            "right_words": self._right_words,
            "means": self.means,
            "tolerance": self.within,
            "percent": self.percent,
            "any_order": self.any_order,
            "mistakes": [
                {"value": wrong.reshape(-1).tolist(), "words": words}
                for wrong, words in near
                if wrong is not None and wrong.shape == right.shape
            ],
            "otherwise": {
                "large": TOO_LARGE, "small": TOO_SMALL, "percent": IN_PERCENT, "several": NOT_ALL,
            },
        }  # fmt: skip

    @property
    def _right_words(self) -> str:
        return f"It is {self.means}."

    def _same(self, given: Tensor, right: Tensor) -> bool:
        if self.any_order and given.ndim:
            given, right = given.sort().values, right.sort().values
        return bool(((given - right).abs() <= self.within).all())


@dataclass(frozen=True)
class Option:
    """One choice: what it says, whether it is right, and why."""

    text: str
    right: bool
    why: str


@dataclass(frozen=True, kw_only=True)
class Choice(Exercise):
    """Choices by letter, several of which may be right, each with a reason in the reader's words.

    The answer is {letter: reason}; letters alone count as well. Reasons are not marked: the reply puts
    the exercise's own beside them.

    Attributes:
        options: by letter.
    """

    options: Mapping[str, Option]

    @property
    def text(self) -> str:
        """The question, and the choices as a list."""
        choices = [f"- **{letter}**: {option.text}" for letter, option in self.options.items()]
        return "\n".join([self.question, "", *choices])

    def judge(self, answer: Any) -> Reply:
        """Right if exactly the right letters are chosen; explains every letter chosen."""
        chosen = letters_of(answer)
        known = ", ".join(self.options)
        if chosen is None:
            form = 'letters are asked for, e.g. {"a", "b"} or {"a": "because …"}'
            return Reply(NOT_YET, f"This is {kind_of(answer)}; {form}.", f"some of {known}")
        if strange := sorted(chosen - set(self.options)):
            return Reply(NOT_YET, f"There is no choice {strange[0]!r}.", f"some of {known}")
        right = {letter for letter, option in self.options.items() if option.right}
        reasons = answer if isinstance(answer, Mapping) else {}
        if chosen == right:
            return Reply(RIGHT, THESE, details=self._why(self.options, reasons))
        words = READ_EACH if chosen else NONE_CHOSEN
        expected = _only_right(len(right - chosen))
        return Reply(NOT_YET, words, expected, details=self._why(sorted(chosen), reasons))

    def _why(self, letters: Iterable[str], reasons: Mapping) -> tuple[str, ...]:
        def line(letter: str) -> str:
            yours = reasons.get(letter)
            said = YOUR_REASON.format(yours) if isinstance(yours, str) and yours.strip() else ""
            return self._line(letter) + said

        return tuple(line(letter) for letter in letters)

    def _line(self, letter: str) -> str:
        option = self.options[letter]
        return f"{letter}, {'yes' if option.right else 'no'}: {option.why}"

    def for_page(self) -> dict[str, Any]:
        """Every choice with what is said to it; what is said to all together, by how many are missing."""
        right = [letter for letter, option in self.options.items() if option.right]
        return {
            "kind": "choice",
            "options": {
                letter: {"text": option.text, "right": option.right, "line": self._line(letter)}
                for letter, option in self.options.items()
            },
            "right_words": THESE,
            "wrong_words": READ_EACH,
            "none_words": NONE_CHOSEN,
            "expected": [_only_right(missing) for missing in range(len(right) + 1)],
            "your_reason": YOUR_REASON,
        }


@dataclass(frozen=True, kw_only=True)
class Configuration(Exercise):
    """Settings; a short seeded run with them has to reach a bound.

    Attributes:
        settings: name of each setting, and a function that says what is wrong with a value, or nothing.
        changes: how many settings an answer changes.
        run: measures the settings; takes them as keywords, returns numbers by name.
        reached: whether the numbers reach the bound.
        goal: the bound, in words.
        failed: what to say if they do not.
    """

    settings: Mapping[str, Callable[[Any], str | None]]
    changes: int
    run: Callable[..., dict[str, float]]
    reached: Callable[[dict[str, float]], bool]
    goal: str
    failed: str

    def judge(self, answer: Any) -> Reply:
        """Run it."""
        known = ", ".join(self.settings)
        if not isinstance(answer, Mapping):
            example = f'{{"{next(iter(self.settings))}": …}}'
            words = f"This is {kind_of(answer)}; settings are asked for, e.g. {example}."
            return Reply(NOT_YET, words, f"a dictionary with {self.changes} of {known}")
        for name, value in answer.items():
            if name not in self.settings:
                close = get_close_matches(str(name), self.settings, n=1)
                meant = f" Did you mean {close[0]!r}?" if close else ""
                return Reply(NOT_YET, f"There is no setting {name!r}.{meant}", f"one of {known}")
            if (problem := self.settings[name](value)) is not None:
                return Reply(NOT_YET, f"{name} = {value!r}: {problem}.", self.goal)
        if len(answer) != self.changes:
            words = (
                f"{len(answer)} settings are changed; change {self.changes}, so that you know what helped."
            )
            return Reply(NOT_YET, words, self.goal)
        numbers = self.run(**answer)
        if self.reached(numbers):
            return Reply(RIGHT, f"Reached: {self.goal}.", case=numbers)
        return Reply(NOT_YET, self.failed, self.goal, numbers)


@dataclass(frozen=True, kw_only=True)
class Artefact(Exercise):
    """Something the reader makes, a file or a structure, that is looked into.

    Attributes:
        inspect: looks at it; returns the reply.
    """

    inspect: Callable[[Any], Reply]

    def judge(self, answer: Any) -> Reply:
        """Look into it."""
        return self.inspect(answer)


@dataclass(frozen=True, kw_only=True)
class Reflection(Exercise):
    """A question to think and write about. Never marked: the reply gives something to compare with.

    Attributes:
        model_answer: one good answer.
        compare: questions to put to one's own.
    """

    model_answer: str
    compare: tuple[str, ...] = field(default=())

    def judge(self, answer: Any) -> Reply:
        """The model answer and the questions."""
        if not isinstance(answer, str):
            return Reply(NOT_YET, f"This is {kind_of(answer)}; write your answer as text, in quotes.")
        if not answer.strip():
            raise Unanswered
        return Reply(TO_COMPARE, self._words, details=self.compare)

    def for_page(self) -> dict[str, Any]:
        """What to compare an answer with."""
        return {"kind": "reflection", "words": self._words, "compare": list(self.compare)}

    @property
    def _words(self) -> str:
        return f"An answer to compare yours with: {self.model_answer}"


# --- values


def _size(case: tuple) -> int:
    """How many numbers a case holds: the fewer, the better a reader can work it out by hand."""
    return sum(x.numel() for x in case if isinstance(x, Tensor))


def tensor_of(value: Any) -> Tensor | None:
    """Numbers, or tuples and arrays of numbers, as a detached float64 (or boolean) tensor; else None."""
    try:
        if isinstance(value, Tensor):
            found = value.detach().cpu()
        elif isinstance(value, tuple | list):
            parts = [tensor_of(x) for x in value]
            if any(x is None for x in parts):
                return None
            found = torch.stack([x for x in parts if x is not None]) if parts else torch.empty(0)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found = torch.tensor(float(value), dtype=torch.float64)  # with all its digits
        else:
            found = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None
    return found if found.dtype == torch.bool else found.double()


def _close(a: Tensor, b: Tensor, tolerance: float) -> bool:
    if a.dtype != b.dtype:  # True is not 1
        return False
    return torch.equal(a, b) if a.dtype == torch.bool else torch.allclose(a, b, tolerance, tolerance)


def _unlike(given: Any, expected: Any) -> str | None:
    """What is wrong with the form of a result, if something is."""
    a, b = tensor_of(given), tensor_of(expected)
    assert b is not None
    if given is None:
        return "Your function returns nothing; is a `return` missing?"
    if a is None:
        return f"Your function returns {kind_of(given)}, not {_form(b)}."
    if a.shape != b.shape or (a.dtype == torch.bool) != (b.dtype == torch.bool):
        return f"Your function returns {_form(a)}, not {_form(b)}."
    if a.dtype != torch.bool and not torch.isfinite(a).all():
        return "The result is not a finite number."
    return None


def _form(x: Tensor) -> str:
    if x.dtype == torch.bool:
        return "True or False" if x.ndim == 0 else f"truth values of shape {tuple(x.shape)}"
    if x.ndim == 0:
        return "one number"
    return f"{len(x)} numbers" if x.ndim == 1 else f"numbers of shape {tuple(x.shape)}"


def kind_of(value: Any) -> str:
    """What a value is, in words: "a text", "a tensor", "None"."""
    names: dict[type, str] = {
        str: "a text",
        bool: "True or False",
        int: "a number",
        float: "a number",
        list: "a list",
        tuple: "a tuple",
        set: "a set",
        dict: "a dictionary",
        Tensor: "a tensor",
        type(None): "None",
    }
    if callable(value):
        return "a function"
    return names.get(type(value), f"a {type(value).__name__}")


def _only_right(missing: int) -> str:
    still = f"; {missing} of them {'is' if missing == 1 else 'are'} missing" if missing else ""
    return f"only those that are right{still}"


def _is_real(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


def _gradients(function: Callable, case: tuple) -> tuple[list[Tensor], bool]:
    """Gradients of the (summed) result in each real tensor of the case; whether there was a connection."""
    inputs = [x.detach().clone().requires_grad_() if _is_real(x) else x for x in case]
    leaves = [x for x in inputs if _is_real(x)]
    value = function(*inputs)
    parts = value if isinstance(value, tuple | list) else [value]
    traced = [x.sum() for x in parts if isinstance(x, Tensor) and x.requires_grad]
    if not traced:
        return [torch.zeros_like(x).double() for x in leaves], False
    found = torch.autograd.grad(sum(traced, torch.zeros(())), leaves, allow_unused=True)
    return [
        (torch.zeros_like(x) if g is None else g).double() for g, x in zip(found, leaves, strict=True)
    ], True


def letters_of(answer: Any) -> set[str] | None:
    """{"a", "b"}, ["a", "b"], {"a": reason}, "a" and "a, b" all name letters."""
    if isinstance(answer, str):
        answer = re.findall(r"\w+", answer)
    if not isinstance(answer, Iterable):
        return None
    letters = list(answer)
    return {x.strip().lower() for x in letters} if all(isinstance(x, str) for x in letters) else None
