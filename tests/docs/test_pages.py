"""The pages of the documentation: each can be found from the index and from the site's navigation."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} - {"README.md"}
SOUGHT_FIRST = ("side-effects", "budgets-and-deadlines", "several-processes", "test-your-workflow", "install")


def test_the_index_links_every_page() -> None:
    linked = set(re.findall(r"\]\(([\w/-]+\.md)\)", (DOCS / "README.md").read_text(encoding="utf-8")))
    assert linked == PAGES


def test_the_navigation_of_the_site_has_every_page() -> None:
    listed = set(re.findall(r"([\w/-]+\.md)$", (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    assert listed - {"README.md"} == PAGES


@pytest.mark.parametrize("name", SOUGHT_FIRST)
def test_there_is_a_how_to_for_what_users_look_for_first(name: str) -> None:
    assert f"how-to/{name}.md" in PAGES


def test_every_file_of_the_repository_that_a_page_names_exists() -> None:
    root = DOCS.parent
    folders = "tests|benchmarks|examples|orchestrator|tools|agents|policies"
    named = re.compile(rf"`[^`\n]*?\b((?:{folders})/[\w./-]+\.(?:py|toml))")
    pages = [*root.glob("*.md"), *DOCS.rglob("*.md")]
    found = {(page.name, path) for page in pages for path in named.findall(page.read_text(encoding="utf-8"))}
    assert len(found) > 20
    assert not [(page, path) for page, path in sorted(found) if not (root / path).exists()]
