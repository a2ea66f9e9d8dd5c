"""`Policy`: fields, files, what earlier versions wrote."""

from pathlib import Path

import pytest

from orchestrator import DefinitionError, Policy


class Greener(Policy):
    carbon_value: float = 0.1


def test_a_file_with_a_removed_field_loads_with_a_warning(tmp_path: Path) -> None:
    file = tmp_path / "old.toml"
    file.write_text("step_cost = 0.5\nmax_reroutes = 9\n", encoding="utf-8")
    with pytest.warns(DeprecationWarning, match="max_reroutes"):
        policy = Policy.load(file)
    assert (policy.name, policy.step_cost) == ("old", 0.5)


def test_a_record_of_another_version_or_subclass_is_read() -> None:
    written = {**Greener().model_dump(mode="json"), "max_reroutes": 1000, "of_the_future": 1}
    assert Policy.from_record(written) == Policy()
    assert Greener.from_record(written).carbon_value == 0.1


def test_own_fields_come_by_a_subclass_and_are_checked(tmp_path: Path) -> None:
    file = tmp_path / "green.toml"
    file.write_text("carbon_value = 0.4\n", encoding="utf-8")
    assert Greener.load(file).carbon_value == 0.4
    with pytest.raises(DefinitionError, match=r"green\.toml:1: carbon_value: unknown field"):
        Policy.load(file)
    file.write_text("carbon_valeu = 0.4\n", encoding="utf-8")
    with pytest.raises(DefinitionError, match="Did you mean 'carbon_value'"):
        Greener.load(file)


def test_limits_by_label_and_what_is_waited_for() -> None:
    policy = Policy(max_spend_per={"tenant": 5})
    assert policy.max_spend_per == {"tenant": 5.0}
    assert (policy.patience, policy.max_threads, policy.learn) == (60, 64, True)
    for wrong in ({"max_spend_per": {"tenant": -1}}, {"patience": -1}, {"max_threads": 0}):
        with pytest.raises(DefinitionError, match="greater than or equal"):
            Policy.model_validate(wrong)
