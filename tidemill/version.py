"""The version of Tidemill, in one place; the package metadata has to agree."""

from __future__ import annotations

VERSION = "0.1.0"
