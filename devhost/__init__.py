"""A local Azure Functions host: runs any Python v2 app, Durable Functions included, on Azure Storage.

Three parts, one direction: `worker` (a child process: user code, nothing else) ◄─ `pool` ◄─ the host process, in which `http` and
`triggers` turn outside happenings into invocations and `durable` keeps orchestrations. What crosses between the parts is defined in
`functions`, `invocation` and `web`; everything else is private to its part.
"""
