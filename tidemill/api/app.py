"""What every route works with."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace

from tidemill.api.engine import Engine
from tidemill.execution.runtime import Runtime
from tidemill.graph.asset_graph import AssetGraph


def _random_token() -> str:
    return secrets.token_hex(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiApp:
    """The runtime and the engine behind the API. Make one per process; `with_engine` lends it another engine for one request."""

    runtime: Runtime
    engine: Engine
    token: Callable[[], str] = _random_token
    """Eight hex digits that nobody has used: the end of a new run id."""

    @property
    def graph(self) -> AssetGraph:
        """The asset graph.

        Raises:
            DefinitionError: the project's definitions are broken.
        """
        return self.runtime.graph

    def with_engine(self, engine: Engine) -> ApiApp:
        """The same app over another engine: the Durable client is bound to one invocation."""
        return replace(self, engine=engine)
