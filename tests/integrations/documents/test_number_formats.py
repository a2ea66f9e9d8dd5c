"""Numbers of sheets as they are shown."""

import pytest

from orchestrator.integrations.documents.workbook import formatted, formatter, plain_number


@pytest.mark.parametrize(
    ("value", "code", "shown"),
    [
        (0.25, "0%", "25%"),
        (0.9382716, "0.0%", "93.8%"),
        (1234.5, "#,##0.00", "1,234.50"),
        (1234.5, '"$"#,##0.00', "$1,234.50"),
        (-1234.5, "[$€-407] #,##0.00;[Red]\\-[$€-407] #,##0.00", "-€ 1,234.50"),
        (-5, "#,##0_);(#,##0)", "(5)"),
        (0, '_("$"* #,##0.00_);_("$"* \\(#,##0.00\\);_("$"* "-"??_);_(@_)', "$-"),
        (1_500_000, '0.0,,"M"', "1.5M"),
        (12.5, "0.0##", "12.5"),
        (5, "00000", "00005"),
        (-0.001, "0.00", "0.00"),
        (0.5, "#.##", ".5"),
        (7, '0" kg; net"', "7 kg; net"),
        (3, "General", None),
        (3, "yyyy-mm-dd", None),
        (0.5, "# ?/?", None),
        (1000, "0.00E+00", None),
    ],
)
def test_formats(value: float, code: str, shown: str | None) -> None:
    assert formatted(value, code) == shown
    assert (formatter(code) is None) == (shown is None)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(3.0, "3"), (0.049999999999999975, "0.05"), (-2.5, "-2.5"), (1e20, "1e+20"), (1e-9, "1e-09")],
)
def test_numbers_without_a_format(value: float, shown: str) -> None:
    assert plain_number(value) == shown
