"""`KEY=VALUE`: what a word becomes, by the type of its key."""

import datetime as dt
import json
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, FilePath

from orchestrator import InputError, Tool
from orchestrator.cli.values import goal_of, is_path, read_inputs, read_value
from orchestrator.graph.graph import ToolGraph
from orchestrator.graph.revision import GraphRevision


class Colour(Enum):
    """An enum."""

    RED = "red"


@dataclass
class Pair:
    """A dataclass."""

    a: int
    b: str = "x"


class Node(BaseModel):
    """A recursive model."""

    name: str
    child: "Node | None" = None


def view_of(annotation: Any, effect: str = "read") -> GraphRevision:
    """A graph with one tool that takes `k` of this type."""

    def take(k: Any) -> int:
        return 1

    take.__annotations__["k"] = annotation
    graph = ToolGraph()
    graph.add(Tool(take, gives="out", effect=effect))
    return graph.view()


VALUES: list[tuple[Any, str, Any]] = [
    (str, "5", "5"),
    (str, '{"a": 1}', '{"a": 1}'),
    (str, "", ""),
    (int, "5", 5),
    (float, "1e-3", 0.001),
    (bool, "yes", True),
    (bool, "false", False),
    (dt.date, "2024-02-29", dt.date(2024, 2, 29)),
    (dt.timedelta, "PT5M", dt.timedelta(minutes=5)),
    (Colour, "red", Colour.RED),
    (Literal["a", "b"], "b", "b"),
    (list[int], "[1, 2]", [1, 2]),
    (dict[str, float], '{"a": 1}', {"a": 1.0}),
    (tuple[int, str], '[1, "a"]', (1, "a")),
    (int | None, "null", None),
    (int | None, "3", 3),
    (int | str, "3", "3"),
    (Pair, '{"a": 1}', Pair(1)),
    (Node, '{"name": "a", "child": {"name": "b"}}', Node(name="a", child=Node(name="b"))),
    (bytes, "abc", b"abc"),
    (Annotated[int, Field(gt=2)], "3", 3),
    (Any, "text", "text"),
    (Any, "3", 3),
    (Any, '"3"', "3"),
    (Any, "[1]", [1]),
]


@pytest.mark.parametrize(("annotation", "text", "value"), VALUES)
def test_a_word_becomes_a_value_of_the_keys_type(annotation: Any, text: str, value: Any) -> None:
    assert read_value(view_of(annotation), "k", text) == value


WRONG: list[tuple[Any, str, str]] = [
    (int, "five", "no int: Input should be a valid integer"),
    (Annotated[int, Field(gt=2)], "2", "greater than 2"),
    (list[int], "1,2", "list"),
    (list[int], '["a"]', "0: Input should be a valid integer"),
    (Pair, '{"b": "x"}', "a: Field required"),
    (Literal["a", "b"], "c", "'a' or 'b'"),
]


@pytest.mark.parametrize(("annotation", "text", "told"), WRONG)
def test_a_word_of_the_wrong_type_is_told_in_one_line(annotation: Any, text: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        read_value(view_of(annotation), "k", text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text())
def test_text_stays_as_it_is(text: str) -> None:
    assert read_value(view_of(str), "k", text) == text


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)))
def test_json_of_an_unannotated_key_comes_back(value: Any) -> None:
    assert read_value(view_of(Any), "k", json.dumps(value)) == value


@given(st.text(), st.sampled_from([int, float, list[int], Pair, Node, dt.date, Colour]))
def test_nothing_but_an_input_error_comes_of_any_word(text: str, annotation: Any) -> None:
    told = ""
    try:
        read_value(view_of(annotation), "k", text)
    except InputError as error:
        told = str(error)
    assert "\n" not in told


@pytest.mark.parametrize(
    ("annotation", "effect", "refused"),
    [
        (Path, "read", True),
        (Path | None, "read", True),
        (FilePath, "read", True),
        (FilePath, "write", True),
        (Path, "write", False),
        (str, "read", False),
    ],
)
def test_a_path_that_is_only_read_must_be_there(annotation: Any, effect: str, refused: bool, tmp_path: Path) -> None:
    view, missing = view_of(annotation, effect), str(tmp_path / "missing.txt")
    (tmp_path / "missng.txt").touch()
    if not refused:
        assert str(read_value(view, "k", missing)) == missing
        return
    with pytest.raises(InputError, match=r"no such file. Did you mean 'missng\.txt'"):
        read_value(view, "k", missing)
    with pytest.raises(InputError, match="Its folder does not exist either"):
        read_value(view, "k", str(tmp_path / "nowhere" / "x"))
    assert str(read_value(view, "k", str(tmp_path / "missng.txt"))).endswith("missng.txt")


@pytest.mark.parametrize(
    ("annotation", "path"), [(Path, True), (Path | None, True), (FilePath, True), (str, False), (list[Path], False)]
)
def test_which_keys_take_paths(annotation: Any, path: bool) -> None:
    assert is_path(annotation) is path


def test_goals() -> None:
    goal = goal_of("a + b", ["c+d", "e"])
    assert goal.keys == ("a", "b")
    assert [lesser.keys for lesser in goal.demotions] == [("c", "d"), ("e",)]
    for wrong in ("", "+", "a+"):
        with pytest.raises(InputError):
            goal_of(wrong)


def test_a_value_may_hold_equals_signs_and_line_breaks() -> None:
    given = read_inputs(view_of(str), ["k=a=b\nc"])
    assert given.values == {"k": "a=b\nc"}


@pytest.mark.parametrize("words", [["k"], ["=v"], [""], ["k k=v"]])
def test_what_is_no_pair(words: list[str]) -> None:
    with pytest.raises(InputError, match=r"KEY=VALUE"):
        read_inputs(view_of(str), words)
