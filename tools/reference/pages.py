"""Every generated page: its path in the checkout and how it is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tools.reference.cli import cli_page
from tools.reference.errors import errors_page
from tools.reference.http_api import http_api_page
from tools.reference.openapi import openapi_text
from tools.reference.readme import readme
from tools.reference.settings import settings_page

PAGES: Mapping[str, Callable[[], str]] = {
    "docs/reference/http-api.md": http_api_page,
    "docs/reference/cli.md": cli_page,
    "docs/reference/errors.md": errors_page,
    "docs/reference/settings.md": settings_page,
    "tidemill/api/openapi.json": openapi_text,
    "README.md": readme,
}
