"""The published schemas are those of the code, with every version of msgspec.

After a change that is meant, run `UPDATE_SCHEMAS=1 pytest tests/coordinator/test_schemas.py` and commit the files.
"""

import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest

from llmstress.coordinator.output import schema
from llmstress.coordinator.probe import report


@pytest.mark.parametrize(("name", "module"), [("summary", schema), ("probe", report)], ids=["summary", "probe"])
def test_the_schema_beside_the_code_is_the_code_s(name: str, module: ModuleType) -> None:
    made: dict[str, Any] = module.json_schema()
    path = Path(str(module.__file__)).with_name(f"{name}.schema.json")
    if os.environ.get("UPDATE_SCHEMAS"):
        path.write_text(json.dumps(made, indent=2) + "\n", "utf-8")
    assert made == json.loads(path.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(made)


BY_MSGSPEC_0_22 = {
    "$ref": "#/$defs/Row",
    "$defs": {
        "Row": {
            "description": "One step.\n\n    Latencies are ms.",
            "properties": {
                "description": {"type": "string", "description": "Words of\n    the server."},
                "head": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Head"}]},
                "value": {"anyOf": [{"type": "null"}, {"type": "number"}, {"type": "string"}], "default": None},
            },
            "required": ["head", "description"],
        },
    },
}
BY_MSGSPEC_0_23 = {
    "$ref": "#/$defs/Row",
    "$defs": {
        "Row": {
            "description": "One step.\n\nLatencies are ms.",
            "properties": {
                "description": {"type": "string", "description": "Words of\nthe server."},
                "head": {"anyOf": [{"$ref": "#/$defs/Head"}, {"type": "null"}]},
                "value": {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}], "default": None},
            },
            "required": ["head", "description"],
        },
    },
}


def test_what_versions_of_msgspec_write_differently_becomes_the_same() -> None:
    same = schema.normal_schema(BY_MSGSPEC_0_23)
    assert schema.normal_schema(BY_MSGSPEC_0_22) == same
    row = same["$defs"]["Row"]
    assert row["description"] == "One step.\n\nLatencies are ms."
    assert row["properties"]["description"] == {"type": "string", "description": "Words of\nthe server."}
    assert row["properties"]["head"]["anyOf"] == [{"$ref": "#/$defs/Head"}, {"type": "null"}]
    assert row["required"] == ["head", "description"], "the order of the fields"
