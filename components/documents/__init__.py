"""What the deployed programs read: pure functions and templates that know nothing of Pulumi.

`dump` turns a document into the text of a configuration file; nothing else here makes text.
"""

from typing import Any

import yaml

Document = dict[str, Any]


def dump(document: Document) -> str:
    """A YAML document, in the order that it was written in."""
    return yaml.safe_dump(document, sort_keys=False)
