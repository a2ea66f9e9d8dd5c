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
        (SERVER, 'trust = ["A"]', "a.toml: trust names 'A'; "),
        ({"a": {"command": "x", "args": "y z"}}, "", "a.json: args of the server 'a' is a list, one entry for each"),
        ({"a": {"command": "x", "env": {"K": 1}}}, "", "a.json: the server 'a': env.K: "),
        ({"a": "x"}, "", "a.json: the server 'a' is an object with a command or a url."),
    ],
)
def test_a_mistake_names_file_and_word(servers: object, rules: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"mcpServers": servers, "theme": "dark"}))
    if rules:
        (tmp_path / "a.toml").write_text(rules)
    with pytest.raises(DefinitionError) as caught:
        load_config(tmp_path / "a.json")
    assert said in str(caught.value)


def test_an_input_that_a_client_asks_for_is_an_environment_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mcp.json"
    headers = {"Authorization": "Bearer ${input:api-key}"}
    file.write_text(
        json.dumps({"inputs": [], "servers": {"a": {"type": "http", "url": "http://x", "headers": headers}}})
    )
    with pytest.raises(DefinitionError, match="the environment variable API_KEY, which is not set"):
        load_config(file)
    monkeypatch.setenv("API_KEY", "k")
    assert load_config(file).servers["a"].headers == {"Authorization": "Bearer k"}
