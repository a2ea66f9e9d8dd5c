"""The drawing: nothing overlaps, edges lead to the right, and the order of writing does not matter."""

from itertools import combinations
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.ui.layout import Box, lay_out
from orchestrator.ui.timeline import scale_of

NAMES = st.sampled_from("abcdefghij")
EDGES = st.lists(st.tuples(NAMES, NAMES), max_size=25)


@given(EDGES)
@settings(max_examples=150)
def test_boxes_never_overlap_and_all_are_inside(edges: list[tuple[str, str]]) -> None:
    made = lay_out([Box(name, 50 + ord(name) % 7 * 9, 26) for name in "abcdefghij"], edges)
    assert set(made.boxes) == set("abcdefghij")
    for a, b in combinations(made.boxes.values(), 2):
        apart = a.x + a.width <= b.x or b.x + b.width <= a.x
        assert apart or a.y + a.height <= b.y + 1e-6 or b.y + b.height <= a.y + 1e-6
    for box in made.boxes.values():
        assert box.x >= 0 and box.y >= -1e-6
        assert box.x + box.width <= made.width + 1e-6 and box.y + box.height <= made.height + 1e-6


@given(EDGES, st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_the_order_of_writing_does_not_matter(edges: list[tuple[str, str]], random: Random) -> None:
    boxes = [Box(name, 40, 26) for name in "abcdefghij"]
    one = lay_out(boxes, edges)
    random.shuffle(boxes)
    random.shuffle(edges)
    assert lay_out(boxes, edges) == one


def test_edges_without_a_cycle_lead_to_the_right() -> None:
    edges = [("a", "b"), ("b", "c"), ("a", "c"), ("c", "d"), ("a", "d")]
    made = lay_out([Box(name, 40, 26) for name in "abcd"], edges)
    assert all(made.boxes[a].x + made.boxes[a].width < made.boxes[b].x for a, b in edges)
    assert len(made.bends["a", "d"]) == 2


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e5)), min_size=1, max_size=30))
@settings(max_examples=150)
@example([(0.0, 1e-05), (131073.0, 0.0)])
@example([(0.0, 5e-324), (3.0, 0.0)])
def test_the_axis_keeps_the_order_of_time(spans: list[tuple[float, float]]) -> None:
    times = sorted({at for start, length in spans for at in (start, start + length)})
    scale = scale_of([(start, start + length) for start, length in spans])
    places = [scale.place(at) for at in times]
    assert places == sorted(places)
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in places)


def test_a_long_wait_is_drawn_short() -> None:
    scale = scale_of([(0.0, 1.0), (86400.0, 86401.0)])
    assert len(scale.gaps) == 1
    assert scale.place(1.0) > 0.4
    assert scale.place(86400.0) < 0.6
