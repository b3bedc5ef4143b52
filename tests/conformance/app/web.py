"""HTTP functions: what a request looks like from inside, what becomes of each kind of answer, counters and marks for the scenarios."""

# Parameters have the annotations that the Functions worker reads, or none.
# ruff: noqa: ANN001, ANN201

import asyncio
import json
import os
import sys
import threading
import time

import azure.durable_functions as df
import azure.functions as func
from counters import count, set_mark

blueprint = df.Blueprint()


def as_json(value) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(value), mimetype="application/json")


def shown(req) -> dict:
    return {
        "method": req.method,
        "url": req.url,
        "headers": dict(req.headers),
        "params": dict(req.params),
        "route": dict(req.route_params),
        "body": req.get_body().decode("latin-1"),
    }


@blueprint.route(route="conformance")
def conformance(req: func.HttpRequest) -> func.HttpResponse:
    return as_json("tests/conformance/app")


@blueprint.route(route="count/{key}")
def get_count(req: func.HttpRequest) -> func.HttpResponse:
    return as_json(count(req.route_params["key"]))


@blueprint.route(route="mark/{name}", methods=["POST"])
def mark(req: func.HttpRequest) -> func.HttpResponse:
    set_mark(req.route_params["name"])
    return as_json("marked")


@blueprint.route(route="show/{Name?}")
def show(req: func.HttpRequest) -> func.HttpResponse:
    return as_json(shown(req))


@blueprint.route(route="number/{id:int}")
def number(req: func.HttpRequest) -> func.HttpResponse:
    return as_json(dict(req.route_params))


@blueprint.route(route="rest/{*rest}")
def rest(req: func.HttpRequest) -> func.HttpResponse:
    return as_json(dict(req.route_params))


@blueprint.route(route="get-only", methods=["GET"])
def get_only(req: func.HttpRequest) -> func.HttpResponse:
    return as_json("got")


@blueprint.route(route="text/{kind}")
def text(req: func.HttpRequest) -> str:
    return {
        "plain": "just text",
        "described": '{"body": "x", "status": 201, "headers": {"X-A": "b"}}',
        "status-code": '{"body": {"a": [1, 2.50]}, "statusCode": "202"}',
        "object": '{"a": {"b": [1, {}]}}',
        "array": "[1]",
        "string": '"unquoted"',
        "true": "true",
        "number": "12.50",
        "null": "null",
        "broken": '{"a": ',
    }[req.route_params["kind"]]


@blueprint.route(route="answer/{kind}")
def answer(req: func.HttpRequest):
    kind = req.route_params["kind"]
    if kind == "raise":
        raise ValueError("told to")
    return {
        "none": None,
        "dict": {"a": 1},
        "bytes": b"x",
        "default": func.HttpResponse("hi"),
        "json": func.HttpResponse("{}", mimetype="application/json"),
        "empty": func.HttpResponse(status_code=418),
        "cookie": func.HttpResponse("c", headers={"Set-Cookie": "a=b; Path=/; HttpOnly"}),
        "binary": func.HttpResponse(bytes(range(256)), mimetype="application/octet-stream"),
        "custom": func.HttpResponse("x", headers={"X-Conformance": "mine", "X-Other": "1"}),
    }[kind]


@blueprint.route(route="length")
def length(req: func.HttpRequest) -> func.HttpResponse:
    return as_json(len(req.get_body()))


@blueprint.route(route="level/function", auth_level=func.AuthLevel.FUNCTION)
def level_function(req: func.HttpRequest) -> func.HttpResponse:
    return as_json("function")


@blueprint.route(route="level/admin", auth_level=func.AuthLevel.ADMIN)
def level_admin(req: func.HttpRequest) -> func.HttpResponse:
    return as_json("admin")


@blueprint.route(route="disabled")
def disabled_route(req: func.HttpRequest) -> func.HttpResponse:
    return as_json("not disabled after all")


@blueprint.route(route="environment/{name}")
def environment(req: func.HttpRequest) -> func.HttpResponse:
    return as_json(os.environ.get(req.route_params["name"]))


@blueprint.route(route="recursion")
def recursion(req: func.HttpRequest) -> func.HttpResponse:
    return as_json(sys.getrecursionlimit())


@blueprint.route(route="binding")
@blueprint.durable_client_input(client_name="client")
async def binding(req: func.HttpRequest, client) -> func.HttpResponse:
    """What the durable client was handed, and the links it makes for an instance."""
    return as_json(
        {
            "rpc": client._orchestration_bindings.rpc_base_url,
            "payload": client.create_http_management_payload("some-id"),
            "links": client.get_client_response_links(req, "some-id"),
        }
    )


@blueprint.route(route="sync/{seconds}")
def wait_sync(req: func.HttpRequest) -> func.HttpResponse:
    time.sleep(float(req.route_params["seconds"]))
    return as_json(threading.current_thread().name)


@blueprint.route(route="async/{seconds}")
async def wait_async(req: func.HttpRequest) -> func.HttpResponse:
    await asyncio.sleep(float(req.route_params["seconds"]))
    return as_json(threading.current_thread().name)


@blueprint.route(route="target/{code:int}")
def target(req: func.HttpRequest) -> func.HttpResponse:
    """What durable HTTP calls are made to."""
    headers = {"Location": "/elsewhere", "X-Target": "yes"} if req.route_params["code"] == "202" else {"X-Target": "yes"}
    return func.HttpResponse(
        json.dumps(shown(req)), status_code=int(req.route_params["code"]), headers=headers, mimetype="application/json"
    )
