"""The local stack: Azurite, a Functions host with the app, and the main job. `python -m tools.stack` is what `make run` runs.

The end-to-end tests start the same pieces by themselves:

    with Azurite.start(log=tmp / "azurite.log") as azurite:
        with Host.start(connection_string=azurite.connection_string, log=tmp / "host.log") as host:
            ...  # speak HTTP with host.url
"""

from tools.stack.azurite import Azurite, Endpoints
from tools.stack.child import Child, StackError
from tools.stack.host import Host, HostKind

__all__ = ["Azurite", "Child", "Endpoints", "Host", "HostKind", "StackError"]
