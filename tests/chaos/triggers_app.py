"""The workload of the kill campaign with queue and blob triggers and bindings beside it; `workload_app` is its copy in the app's folder."""

# The app is loaded by a worker, beside files that are not here.
# mypy: disable-error-code="import-not-found, no-untyped-def, misc, no-untyped-call, untyped-decorator"

import azure.functions as func
from workload_app import app, record

CONNECTION = "AzureWebJobsStorage"


@app.queue_trigger(arg_name="message", queue_name="inbox", connection=CONNECTION)
@app.queue_output(arg_name="out", queue_name="outbox", connection=CONNECTION)
def forward(message: func.QueueMessage, out: func.Out[str]) -> None:
    text = message.get_body().decode()
    record(f"queue/{text}")
    out.set(text)


@app.blob_trigger(arg_name="blob", path="incoming/{name}", connection=CONNECTION)
@app.blob_output(arg_name="copy", path="copies/{name}", connection=CONNECTION)
def copied(blob: func.InputStream, copy: func.Out[bytes]) -> None:
    record(f"{blob.name}")
    copy.set(blob.read())
