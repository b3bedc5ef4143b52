"""Azurite for the campaigns."""

from __future__ import annotations

from tests.devhost.durable.conftest import storage

__all__ = ["storage"]
