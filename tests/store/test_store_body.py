"""Bodies: whatever is given becomes canonical JSON that reads back as itself."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.store.ledger.chain import canonical_text
from orchestrator.store.ledger.encoding import LIMIT, NOTE, UNREADABLE, decode_body, encode_body, normal

ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.complex_numbers(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(st.characters()) | st.integers() | st.floats() | st.booleans(), inner, max_size=4)
    ),
    max_leaves=10,
)


@settings(max_examples=150)
@given(st.dictionaries(st.text(st.characters()) | st.integers() | st.none(), ODD, max_size=5))
def test_any_body_becomes_text_that_reads_back_as_itself(body: Any) -> None:
    text = normal(encode_body(body)[0])
    assert UNREADABLE not in decode_body(text)
    assert canonical_text(decode_body(text)) == text


def test_a_body_that_contains_itself_is_cut_where_it_does() -> None:
    body: dict[str, Any] = {"name": "loop"}
    body["self"] = body
    text, problem = encode_body(body)
    assert problem is not None
    assert json.loads(text)["self"]["self"]["name"] == "loop"


def test_a_body_nested_too_deep_is_cut() -> None:
    body: dict[str, Any] = {}
    for _ in range(100_000):
        body = {"in": body}
    text, problem = encode_body(body)
    assert problem is not None
    assert len(text) < 1000


def test_a_body_that_is_none_says_what_it_was() -> None:
    text, problem = encode_body(object())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert json.loads(text) == {UNREADABLE: "object"}
    assert problem is not None


@pytest.mark.parametrize("letter", ["a", "😀", '"'])
@pytest.mark.parametrize(("copies", "depth"), [(1, 1), (12, 3)])
def test_whatever_is_too_large_fits_after_cutting(letter: str, copies: int, depth: int) -> None:
    body: dict[str, Any] = {f"k{index}": letter * LIMIT for index in range(copies)}
    for _ in range(depth):
        body = {"in": body, "list": [letter * 500] * 1000}
    text, problem = encode_body(body)
    assert len(text.encode()) <= LIMIT
    assert NOTE in json.loads(text)
    assert problem is not None
    assert normal(text) == text


def test_keys_alone_can_be_too_large() -> None:
    text, _ = encode_body({f"{index}" * 100: index for index in range(100_000)})
    assert len(text.encode()) <= LIMIT
    assert NOTE in json.loads(text)


def test_a_body_at_the_limit_is_left_alone() -> None:
    body = {"a": "x" * (LIMIT - 8)}
    assert encode_body(body) == (canonical_text(body), None)
    assert encode_body({"a": "x" * (LIMIT - 7)})[1] is not None
