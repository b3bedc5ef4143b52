"""The child process that runs user code, and nothing else.

It needs only the standard library and the app's own `azure.functions`. It speaks to the host over one socket (`devhost.wire`), indexes the
app once, runs each call it is sent and dies when the host is gone.
"""
