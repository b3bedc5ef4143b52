"""What every test shares: the app's own settings that change how the Durable SDK behaves."""

from __future__ import annotations

import os

os.environ.setdefault("AZURE_FUNCTIONS_DURABLE_STRICT_TYPING", "1")  # as in local.settings.json: plain JSON only
