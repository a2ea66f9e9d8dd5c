"""The agents that work without any model: what each finds, and what it refuses."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import CallerError, DecisionKind, Orchestrator, Refused, Tool
from orchestrator.core.process.installation import catalog_root
from orchestrator.project import load_project
from tests.catalog.conftest import DOCUMENTS

Catalog = Mapping[str, Tool]
SKY = (DOCUMENTS / "night-sky.txt").read_text(encoding="latin-1")
AGENTS = {tool.name: tool for tool in load_project(catalog_root()).agents}


# -- keywords and entities ---------------------------------------------------------------------------------------------


def test_keywords_are_phrases_of_the_text(catalog: Catalog) -> None:
    found = catalog["keyword_extractor"](text=SKY)
    assert len(found) == 8
    assert all(phrase in SKY.lower() for phrase in found)
    assert "observatory terrace opens" in found


def test_what_is_said_often_counts_more(catalog: Catalog) -> None:
    text = "Sea level rises. The sea level was measured. Rain fell. Sea level again."
    assert catalog["keyword_extractor"](text=text)[0] == "sea level"


def test_entities_by_kind(catalog: Catalog) -> None:
    text = (
        "On 24 October 2023 at 07:42 Ann Marsh of the Harbour Trust wrote to ops@marren.test from 10.0.0.17,\n"
        "see https://marren.test/tide?x=1. The repair costs $1,250.00, that is 12 per cent more than in January 2024."
    )
    found = [(entity["kind"], entity["text"]) for entity in catalog["entity_extractor"](text=text)]
    assert found == [
        ("date", "24 October 2023"),
        ("time", "07:42"),
        ("name", "Ann Marsh"),
        ("name", "Harbour Trust"),
        ("email", "ops@marren.test"),
        ("ip", "10.0.0.17"),
        ("url", "https://marren.test/tide?x=1"),
        ("money", "$1,250.00"),
        ("percent", "12 per cent"),
    ]


def test_a_name_is_told_once_and_headings_are_none(catalog: Catalog) -> None:
    text = "Feeding\nDiscard half. We met Bob Stone. Bob Stone left."
    assert catalog["entity_extractor"](text=text) == [{"kind": "name", "text": "Bob Stone"}]


@pytest.mark.parametrize("address", ["256.1.1.1", "1.2.3", "1.2.3.4.5"])
def test_what_is_no_address(catalog: Catalog, address: str) -> None:
    assert catalog["entity_extractor"](text=f"version {address} of it") == []


# -- language ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("cs", "Pes není doma, protože jsme ho vzali s sebou na procházku do lesa."),
        ("da", "Hunden er ikke hjemme, fordi vi tog den med på en tur af nogle grunde."),
        ("de", "Der Hund ist nicht zu Hause, weil wir ihn auf einen Spaziergang mitgenommen haben."),
        ("en", "The dog is not at home because we took it for a walk in the woods."),
        ("es", "El perro no está en casa porque lo llevamos a dar un paseo por el bosque."),
        ("fi", "Koira ei ole kotona, sillä se on nyt metsässä kävelyllä ja me olemme sen kanssa."),
        ("fr", "Le chien n'est pas à la maison parce que nous sommes allés dans les bois."),
        ("it", "Il cane non è in casa perché lo abbiamo portato nel bosco per una passeggiata."),
        ("nl", "De hond is niet thuis, want wij hebben hem voor een wandeling in het bos meegenomen."),
        ("no", "Hunden er ikke hjemme, for vi tok den med på en tur av noen grunner."),
        ("pl", "Pies nie jest w domu, bo wzięliśmy go na spacer do lasu i już go tu nie ma."),
        ("pt", "O cachorro não está em casa porque nós o levamos para um passeio no bosque."),
        ("sv", "Hunden är inte hemma eftersom vi tog med den på en promenad i skogen."),
        ("ru", "Собаки нет дома, потому что мы взяли её на прогулку."),
        ("el", "Ο σκύλος δεν είναι στο σπίτι."),
        ("he", "הכלב לא בבית"),
        ("ar", "الكلب ليس في المنزل"),
        ("hi", "कुत्ता घर पर नहीं है"),
        ("th", "หมาไม่อยู่บ้าน"),
        ("ko", "개는 집에 없다"),
        ("ja", "犬は家にいません"),
        ("zh", "狗不在家"),
    ],
)
def test_the_language_of_a_sentence(catalog: Catalog, language: str, text: str) -> None:
    assert catalog["language_detector"](text=text) == language


@pytest.mark.parametrize("text", ["", "ok", "12345", "Xyzzy plugh", "🙂🙂"])
def test_what_is_too_short_is_refused(catalog: Catalog, text: str) -> None:
    with pytest.raises(Refused, match="too short"):
        catalog["language_detector"](text=text)


# -- tables ------------------------------------------------------------------------------------------------------------

BOATS = [["Boat", "Feet"], ["Skua", "28"], ["Red Tern", "19"]]


@pytest.mark.parametrize(
    "text",
    [
        "| Boat | Feet |\n|------|-----:|\n| Skua | 28 |\n| Red Tern | 19 |",
        "Boat | Feet\nSkua | 28\nRed Tern | 19",
        "Boat\tFeet\nSkua\t28\nRed Tern\t19",
        "Boat;Feet\nSkua;28\nRed Tern;19",
        "Boat         Feet\n--------     ----\nSkua           28\nRed Tern       19",
    ],
)
def test_a_table_in_a_text(catalog: Catalog, text: str) -> None:
    assert catalog["table_extractor"](text=f"The boats of Marren.\n\n{text}\n\nThat is all.") == [BOATS]


def test_two_tables(catalog: Catalog) -> None:
    text = "a | b\nc | d\n\nwords between\n\n1\t2\t3\n4\t5\t6"
    assert catalog["table_extractor"](text=text) == [[["a", "b"], ["c", "d"]], [["1", "2", "3"], ["4", "5", "6"]]]


@pytest.mark.parametrize("text", ["", "no table here", "one | line", SKY])
def test_a_text_without_a_table_is_refused(catalog: Catalog, text: str) -> None:
    with pytest.raises(Refused, match="no table"):
        catalog["table_extractor"](text=text)


def test_tables_of_a_page(catalog: Catalog) -> None:
    boats = "<table><tr><th>Boat<th>Feet<tr><td>Skua<td> 28 </tr><tr><td>Red\n Tern<td>19</table>"
    page = f"<table><tr><td>menu<td>{boats}</table>"
    assert catalog["html_table_extractor"](html=page) == [BOATS]
    with pytest.raises(Refused, match="no table"):
        catalog["html_table_extractor"](html="<p>a | b<p>c | d")


def test_the_table_of_a_word_document(orc: Orchestrator) -> None:
    (table,) = orc.run_sync("tables", {"document": DOCUMENTS / "bee-walk.docx"}).value
    assert table[0] == ["Species", "Seen"]


# -- classification ----------------------------------------------------------------------------------------------------

LABELS = {
    "network": ["connection to host timed out", "dns lookup failed for host", "connection reset by peer"],
    "database": ["deadlock detected on table orders", "too many connections to the database"],
    "disk": ["no space left on device", "disk is full"],
}
classifiers = pytest.mark.parametrize("classifier", ["bayes_classifier", "nearest_classifier"])


@classifiers
@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("host 10.0.0.3: connection timed out after 30 s", "network"),
        ("database refused: too many connections", "database"),
        ("/var: no space left", "disk"),
    ],
)
def test_a_text_gets_the_label_of_examples_like_it(catalog: Catalog, classifier: str, text: str, label: str) -> None:
    assert catalog[classifier](text=text, label_examples=LABELS) == label


@classifiers
def test_what_is_like_no_example_is_refused(catalog: Catalog, classifier: str) -> None:
    for text in ("a seal on the slipway 17", "", "the seal on a slipway that nobody saw"):
        with pytest.raises(Refused, match="like no example"):
            catalog[classifier](text=text, label_examples=LABELS)


@classifiers
@pytest.mark.parametrize("examples", [{}, {"one": ["a"]}, {"one": ["a"], "two": []}])
def test_examples_that_make_no_sense_are_the_callers_error(
    catalog: Catalog, classifier: str, examples: dict[str, list[str]]
) -> None:
    with pytest.raises(CallerError, match="at least two labels"):
        catalog[classifier](text="abc", label_examples=examples)


@classifiers
def test_the_order_of_the_labels_does_not_matter(catalog: Catalog, classifier: str) -> None:
    text = "connection connections"
    backwards = dict(reversed(LABELS.items()))
    assert catalog[classifier](text=text, label_examples=LABELS) == catalog[classifier](
        text=text, label_examples=backwards
    )


# -- grouping ----------------------------------------------------------------------------------------------------------

ITEMS = [
    "disk 3 is full at 90%",
    "user 'bob' is locked out",
    "disk 4 is full at 95%",
    "request 0x7f3a failed",
    "now disk 7 is full, at 99%",
    "user 'ann' is locked out",
]


def test_texts_that_differ_in_numbers_are_one_group(catalog: Catalog) -> None:
    assert catalog["shape_grouper"](items=ITEMS) == [[0, 2], [1, 5], [3], [4]]


def test_texts_that_share_most_words_are_one_group(catalog: Catalog) -> None:
    assert catalog["likeness_grouper"](items=ITEMS) == [[0, 2, 4], [1, 5], [3]]


@settings(max_examples=60)
@given(items=st.lists(st.text(alphabet="ab 1'-", max_size=12), max_size=12))
@pytest.mark.parametrize("grouper", ["shape_grouper", "likeness_grouper"])
def test_every_text_is_in_one_group(grouper: str, items: list[str]) -> None:
    groups = AGENTS[grouper](items=items)
    assert sorted(place for group in groups for place in group) == list(range(len(items)))
    assert all(group == sorted(group) for group in groups)


# -- reports -----------------------------------------------------------------------------------------------------------


def test_a_report_has_every_finding_in_order(catalog: Catalog) -> None:
    findings = {"Disk full": ["7 times", "free some space"], "All else": []}
    report = catalog["report_writer"](report_title="The night", findings=findings)
    assert report == "# The night\n\n2 findings\n\n## Disk full\n\n- 7 times\n- free some space\n\n## All else\n"


def test_findings_cannot_become_markup(catalog: Catalog) -> None:
    markdown = pytest.importorskip("markdown")
    hostile = ["<script>alert(1)</script>", "# heading", "- item", "1. item", "[x](javascript:1)", "a\n\n***", "`x`"]
    report = catalog["report_writer"](report_title=hostile[0], findings=dict.fromkeys(hostile, hostile))
    html = markdown.markdown(report, extensions=["tables", "fenced_code"])
    assert set(re.findall(r"<(\w+)", html)) <= {"h1", "h2", "p", "ul", "li"}
    assert "\x1b" not in catalog["report_writer"](report_title="\x1b[31m", findings={"\x1b": ["\x1b"]})


# -- chosen by skill ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "demand", "inputs", "chosen"),
    [
        ("label", "classify", {"text": "disk", "label_examples": LABELS}, "bayes_classifier"),
        ("label", "classify.few", {"text": "disk", "label_examples": LABELS}, "nearest_classifier"),
        ("groups", "group", {"items": ITEMS}, "shape_grouper"),
        ("groups", "group.noisy", {"items": ITEMS}, "likeness_grouper"),
        ("summary", "summarise.long", {"text": SKY}, "extractive_summariser"),
    ],
)
def test_skills_decide_who_does_it(
    orc: Orchestrator, key: str, demand: str, inputs: dict[str, Any], chosen: str
) -> None:
    orc.require_skills(key, {demand: 1})
    outcome = orc.run_sync(key, inputs)
    (select,) = [decision for decision in outcome.decisions if decision.kind is DecisionKind.SELECT]
    assert select.chosen == chosen
    assert {candidate.name for candidate in select.candidates} >= {chosen}
    assert demand in select.reason
