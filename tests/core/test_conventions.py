"""The names told to OpenTelemetry: said once, followed by everything, and all in the reference."""

import re
from pathlib import Path
from random import Random

import pytest

from orchestrator.core import conventions as names
from orchestrator.core.process.installation import catalog_folder
from tests.support.random_runs import random_orchestrator, random_run
from tests.support.telemetry import Recorder, attributes

REFERENCE = catalog_folder("tools").parent / "docs" / "reference" / "telemetry.md"


def values() -> dict[str, str]:
    """Every name that is exported, by its constant; keys of the context stay inside the process."""
    found = {key: value for key, value in vars(names).items() if key.isupper() and isinstance(value, str)}
    return {key: value for key, value in found.items() if not value.startswith("orchestrator-")}


ATTRIBUTES = {value for value in values().values() if "." in value and value != names.GENAI_VERSION}


async def test_spans_hold_only_names_of_the_module() -> None:
    spans = {value for value in values().values() if "." not in value}
    for seed in range(25):
        random, recorder = Random(seed), Recorder()
        async with random_orchestrator(random, tracer_provider=recorder.provider) as orchestrator:
            await random_run(random, orchestrator)
        for span in recorder.spans:
            operation = span.name.split()[0]
            assert operation in spans or operation in attributes(span).get(names.DECISION_KIND, "")
            unknown = {key for key in attributes(span) if key not in ATTRIBUTES and not key.startswith(names.USAGE)}
            assert not unknown
            for event in span.events:
                assert set(event.attributes or {}) <= ATTRIBUTES


def test_only_the_module_spells_names_out() -> None:
    package = Path(names.__file__).parents[1] / "observability"
    spelled = re.compile(r'"(?:gen_ai|orchestrator|openinference|input|output|exception)\.[a-z_.]+"')
    files = sorted((package / "tracing").glob("*.py"))
    assert len(files) > 5
    for file in files:
        assert not spelled.findall(file.read_text()), file.name


def test_attributes_are_told_apart_from_namespaces() -> None:
    ours = sorted(value for value in ATTRIBUTES if value.startswith("orchestrator.") and not value.endswith("."))
    for name in ours:
        assert re.fullmatch(r"[a-z_.]+", name)


@pytest.mark.skipif(not REFERENCE.is_file(), reason="the documentation is not installed with the package")
@pytest.mark.parametrize("constant", sorted(values()))
def test_every_name_is_in_the_reference(constant: str) -> None:
    value = values()[constant]
    text = REFERENCE.read_text()
    short = value.removeprefix("orchestrator.")
    assert f"`{value}" in text or f"`.{short}`" in text or f" {value} " in text, f"{constant}: {value}"
