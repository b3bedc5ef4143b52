"""What the worker finds in an app, and what it refuses, as the real worker would."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devhost.worker.indexing import Index, index_app
from tests.devhost.shell.support import write_app


@pytest.fixture
def indexed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Indexes a source as the app of this process; the module is forgotten afterwards."""
    monkeypatch.syspath_prepend(str(tmp_path))
    saved = sys.modules.pop("function_app", None)

    def index(source: str) -> Index:
        sys.modules.pop("function_app", None)
        write_app(tmp_path, "import typing\nimport azure.durable_functions as df\n" + source)
        return index_app(tmp_path, "function_app.py")

    yield index
    sys.modules.pop("function_app", None)
    if saved is not None:
        sys.modules["function_app"] = saved


def http(parameters: str, returns: str = "", decorators: str = "") -> str:
    return f"{decorators}@app.route(route='x')\ndef f({parameters}){returns}: ...\n"


def activity(parameters: str, returns: str = "") -> str:
    return f"@app.activity_trigger(input_name='x')\ndef f({parameters}){returns}: ...\n"


QUEUE_OUT = "@app.queue_output(arg_name='q', queue_name='n', connection='C')\n"
BLOB_IN = "@app.blob_input(arg_name='b', path='c/b', connection='C')\n"


@pytest.mark.parametrize(
    "source",
    [
        http("req"),
        http("req: func.HttpRequest"),
        http("req: func.HttpRequest, context: func.Context"),
        http("req, context"),
        http("req", " -> str"),
        http("req", " -> func.HttpResponse"),
        http("req, q: func.Out[str]", "", QUEUE_OUT),
        http("req, q: func.Out[typing.List[str]]", "", QUEUE_OUT),
        http("req, q: func.Out[func.QueueMessage]", "", QUEUE_OUT),
        http("req, b: func.InputStream", "", BLOB_IN),
        http("req, b: bytes", "", BLOB_IN),
        http("req, b: str", "", BLOB_IN),
        activity("x"),
        activity("x: str", " -> typing.Optional[int]"),
        activity("x: int"),
        activity("x: dict"),
        activity("x: typing.List[str]"),
        activity("x: typing.Dict[str, int]"),
        activity("x: typing.Any"),
        activity("x: typing.Literal['a']"),
        "@app.orchestration_trigger(context_name='context')\ndef f(context: df.DurableOrchestrationContext):\n    yield\n",
        "@app.entity_trigger(context_name='context')\ndef f(context): ...\n",
        "@app.route()\n@app.durable_client_input(client_name='client')\nasync def f(req, client: df.DurableOrchestrationClient): ...\n",
        "@app.timer_trigger(arg_name='t', schedule='* * * * * *')\ndef f(t: func.TimerRequest): ...\n",
        "@app.queue_trigger(arg_name='m', queue_name='q', connection='C')\ndef f(m: str): ...\n",
    ],
)
def test_a_signature_that_the_worker_takes(indexed: object, source: str) -> None:
    assert callable(indexed)
    index = indexed(source)
    assert index.problems == []
    assert list(index.functions) == ["f"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (http("req, extra=1"), "declared in Python but not in the function definition (function.json or function decorators): {'extra'}"),
        (http("req", "", QUEUE_OUT), "but not in Python: {'q'}"),
        (http("req: str | None"), "binding req has invalid non-type annotation str | None"),
        (http("req: int"), 'type of req binding in the function definition "httpTrigger" does not match its Python annotation "int"'),
        (http("req: func.Out[str]"), 'declared to have the "in" direction, but its annotation is azure.functions.Out'),
        (http("req, q: str", "", QUEUE_OUT), "but its annotation in Python is not a subclass of azure.functions.Out"),
        (http("req, q: func.Out[int]", "", QUEUE_OUT), 'does not match its Python annotation "int"'),
        (http("req, context: int"), "the \"context\" parameter is expected to be of type azure.functions.Context, got <class 'int'>"),
        (http("req", " -> dict"), 'Python return annotation "dict" does not match binding type "http"'),
        (http("req", " -> typing.Optional[str]"), "has invalid non-type return annotation typing.Optional[str]"),
        (http("req", " -> None"), 'Python return annotation "NoneType" does not match binding type "http"'),
        (http("req: 'Nowhere'"), "its type hints cannot be resolved: NameError: name 'Nowhere' is not defined"),
        (activity("x: list[str]"), "binding x has invalid non-type annotation list[str]"),
        (activity("x: typing.Optional[str]"), "binding x has invalid non-type annotation typing.Optional[str]"),
        (activity("x: typing.Tuple[int, int]"), "binding x has invalid non-type annotation typing.Tuple[int, int]"),
        ("@app.orchestration_trigger(context_name='ctx')\ndef f(ctx):\n    yield\n", 'its context_name has to be "context"'),
        ("@app.timer_trigger(arg_name='t', schedule='x')\ndef f(t: func.HttpRequest): ...\n", '"timerTrigger" does not match'),
    ],
)
def test_a_signature_that_the_worker_refuses(indexed: object, source: str, problem: str) -> None:
    assert callable(indexed)
    problems = indexed(source).problems
    assert len(problems) == 1
    assert problems[0].startswith("cannot load the f function: ")
    assert problem in problems[0]


def test_every_problem_is_reported(indexed: object) -> None:
    assert callable(indexed)
    problems = indexed(http("req: int, extra") + activity("x: list[str]").replace("def f", "def g")).problems
    assert [problem.split(":")[0] for problem in problems] == ["cannot load the f function"] * 2 + ["cannot load the g function"]


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (http("req") + http("req").replace("'x'", "'y'"), "Function f does not have a unique function name"),
        ("@app.function_name('f')\ndef f(): ...\n", "Function f does not have a trigger"),
    ],
)
def test_what_get_functions_raises_is_a_problem(indexed: object, source: str, problem: str) -> None:
    assert callable(indexed)
    problems = indexed(source).problems
    assert len(problems) == 1
    assert problem in problems[0]


def test_the_metadata_has_the_bindings_of_function_json(indexed: object) -> None:
    assert callable(indexed)
    source = "@app.function_name('Named')\n@app.activity_trigger(input_name='x', activity='Durable')\ndef f(x): ...\n"
    metadata = indexed(source).functions["Named"].as_metadata()
    assert metadata == {
        "name": "Named", "bindings": [{"direction": "IN", "type": "activityTrigger", "name": "x", "activity": "Durable"}],
        "is_async": False, "script_file": "function_app.py", "entry_point": "f", "retry": None,
        "is_streamed": False, "warnings": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("source", "warning"),
    [
        ("@app.orchestration_trigger(context_name='context')\ndef f(context): ...\n", "not a generator function"),
        ("@app.entity_trigger(context_name='context')\nasync def f(context): ...\n", "an entity must not be async"),
        ("@app.route()\n@app.durable_client_input(client_name='client')\ndef f(req, client): ...\n", "must be async def"),
    ],
)
def test_what_loads_but_cannot_work_is_a_warning(indexed: object, source: str, warning: str) -> None:
    assert callable(indexed)
    index = indexed(source)
    assert index.problems == []
    assert warning in index.functions["f"].as_metadata()["warnings"][0]
