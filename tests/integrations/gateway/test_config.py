"""A mistake in a gateway's files is one error that names the file and the nearest word."""

import json
from pathlib import Path

import pytest

from orchestrator import DefinitionError
from orchestrator.integrations.gateway.config import load_config

SERVER = {"a": {"command": "true"}}


@pytest.mark.parametrize(
    ("servers", "rules", "said"),
    [
        ({"a": {"comand": "x"}}, "", "a.json: the server 'a' has either a command or a url. Did you mean 'command'?"),
        (SERVER, 'approvl = ["x"]', "a.toml: approvl: unknown field. Did you mean 'approval'?"),
        (SERVER, "timeout = 0", "a.toml: timeout: Input should be greater than 0"),
        (SERVER, "timeout = ", "a.toml is no TOML"),
        ({}, "", "a.json holds no servers"),
    ],
)
def test_a_mistake_names_file_and_word(servers: object, rules: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"mcpServers": servers, "theme": "dark"}))
    if rules:
        (tmp_path / "a.toml").write_text(rules)
    with pytest.raises(DefinitionError) as caught:
        load_config(tmp_path / "a.json")
    assert said in str(caught.value)
