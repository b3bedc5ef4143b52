"""What every test shares: the app's own settings that change how the Durable SDK behaves, and a terminal of one width."""

from __future__ import annotations

import os

os.environ.setdefault("AZURE_FUNCTIONS_DURABLE_STRICT_TYPING", "1")  # as in local.settings.json: plain JSON only
os.environ["COLUMNS"] = "200"  # pictures of the command line break at the width of the terminal
