"""The Functions app: reads the registries and applies every Azure decorator. No logic lives here.

Nothing in this file is annotated beyond plain classes, because the Functions worker refuses a whole app for one signature it cannot read.
"""

import logging
import os
from pathlib import Path

import azure.durable_functions as df
import azure.functions as func

from activities import ACTIVITIES
from durable_quick_replay import quicken_replay
from orchestrators import ORCHESTRATORS
from tidemill.api.app import ApiApp
from tidemill.api.dispatch import dispatch
from tidemill.api.durable_engine import DurableEngine
from tidemill.api.http import ApiRequest
from tidemill.api.route import function_names, open_templates
from tidemill.api.routes import ROUTES
from tidemill.execution.runtime import Runtime
from tidemill.execution.telling import tell_of_runs
from tidemill.messages.registry import prove_registered
from tidemill.settings import Settings

prove_registered(ACTIVITIES, ORCHESTRATORS)
quicken_replay()
logging.getLogger("azure").setLevel(logging.WARNING)  # the SDK reports every request at info

app = df.DFApp(http_auth_level=func.AuthLevel.FUNCTION)  # a key for every route, except where a route says otherwise
settings = Settings.from_environment(os.environ, project=Path(__file__).resolve().parent)
runtime = tell_of_runs(Runtime.from_settings(settings), settings.lineage)

OPEN = open_templates(ROUTES)


def add_orchestrator(name, orchestrator):
    @app.function_name(name)
    @app.orchestration_trigger(context_name="context", orchestration=name)
    def run_orchestrator(context):
        return (yield from orchestrator(context))


def add_activity(name, activity):
    @app.function_name(name)
    @app.activity_trigger(input_name="payload", activity=name)
    def run_activity(payload):
        return activity.answer(runtime, payload)


def add_route(name, template):
    @app.function_name(name)
    @app.route(route=template, auth_level=func.AuthLevel.ANONYMOUS if template in OPEN else func.AuthLevel.FUNCTION)
    @app.durable_client_input(client_name="client")
    async def answer(req: func.HttpRequest, client) -> func.HttpResponse:
        request = ApiRequest.of(req.method, req.url, query=req.params, headers=req.headers, body=req.get_body())
        reply = await dispatch(ApiApp(runtime=runtime, engine=DurableEngine(client)), request)
        return func.HttpResponse(reply.body, status_code=reply.status, headers=dict(reply.headers), mimetype=reply.media_type)


for each_name, each_orchestrator in ORCHESTRATORS.items():
    add_orchestrator(each_name, each_orchestrator)
for each_name, each_activity in ACTIVITIES.items():
    add_activity(each_name, each_activity)
for each_name, each_template in function_names(ROUTES).items():
    add_route(each_name, each_template)
add_route("unknown_route", "{*path}")
