"""The description of the interface is the one that the gateway's own tables give."""

from __future__ import annotations

import ast
import json
from pathlib import Path

from serving.gateway import fields
from serving.gateway.routes import METRICS, ROUTES
from tests.openapi import PAGE, REQUESTS, describe, text

ROOT = Path(__file__).resolve().parent.parent


def test_the_page_is_what_the_tables_say():
    assert PAGE.read_text() == text(), "run: python -m tests.openapi"


def test_it_has_exactly_the_routes():
    described = {(path, method.upper()) for path, methods in describe()["paths"].items() for method in methods}
    assert described == {(route.path, route.method) for route in (*ROUTES, METRICS)}


def test_every_field_of_every_request_is_in_it_and_no_other():
    schemas = describe()["components"]["schemas"]
    for name, (_, known, *_) in REQUESTS.items():
        assert set(schemas[f"{name.capitalize()}Request"]["properties"]) == known | fields.IGNORED | {"store"}


def test_every_reference_leads_somewhere():
    page = json.loads(PAGE.read_text())
    names = {part.split("/")[-1] for part in _references(page)}
    assert names
    assert names <= page["components"]["schemas"].keys()


def _references(value):
    if isinstance(value, dict):
        yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)


def test_the_gateway_adds_no_route_beside_the_table():
    tree = ast.parse((ROOT / "serving/gateway/app.py").read_text())
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    made = [call for call in calls if call.endswith(("Route", "Mount", "Host", "add_route", "app.mount"))]
    decorated = [d for node in ast.walk(tree) for d in getattr(node, "decorator_list", []) if "app." in ast.unparse(d)]
    assert (made, decorated) == (["Route"], [])
