"""Options of the tests."""

import pytest

from tools.lab_stack import take_interrupts


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--write-golden`, which `make golden` gives."""
    parser.addoption("--write-golden", action="store_true", help="write the golden files anew")


def pytest_configure() -> None:
    """Also where the tests are a job in the background, Pulumi's commands end at once."""
    take_interrupts()
