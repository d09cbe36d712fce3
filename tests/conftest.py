"""Options of the tests."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--write-golden`, which `make golden` gives."""
    parser.addoption("--write-golden", action="store_true", help="write the golden files anew")
