"""Builds the configuration files of the deployed programs: pure functions and templates that know nothing of Pulumi.

YAML files are dictionaries until `dump` turns them into text. NGINX' files are templates, which `templates` renders.
"""

from typing import Any

import yaml

Document = dict[str, Any]


def dump(document: Document) -> str:
    """Returns a document as YAML, with its keys in their order."""
    return yaml.safe_dump(document, sort_keys=False)
