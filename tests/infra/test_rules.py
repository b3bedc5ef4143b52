"""What the deployment must hold to: no secrets, no keys, encrypted ways in, and exactly the roles the app needs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pathspec import GitIgnoreSpec

from tests.infra.bicep import Declaration, Expression, read

ROOT = Path(__file__).resolve().parents[2]
INFRA = ROOT / "infra"
SOURCES = {path: path.read_text(encoding="utf-8") for path in sorted(INFRA.rglob("*.bicep"))}

BUILT_IN_ROLES = {
    "blobDataOwner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "queueDataContributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "tableDataContributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    "metricsPublisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "blobDataReader": "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
}


def resource(file: str, name: str) -> Declaration:
    return read(INFRA / file).one("resource", name)


def app_settings() -> dict[str, Any]:
    settings = resource("app/function-app.bicep", "app").body["properties"]["siteConfig"]["appSettings"]
    return {each["name"]: each["value"] for each in settings}


def test_storage_has_no_keys_no_public_blobs_and_modern_tls() -> None:
    properties = resource("core/storage.bicep", "account").body["properties"]
    assert properties["allowSharedKeyAccess"] is False
    assert properties["allowBlobPublicAccess"] is False
    assert properties["allowCrossTenantReplication"] is False
    assert properties["defaultToOAuthAuthentication"] is True
    assert properties["supportsHttpsTrafficOnly"] is True
    assert properties["minimumTlsVersion"] == "TLS1_2"


def test_deleted_blobs_can_be_brought_back() -> None:
    properties = resource("core/storage.bicep", "blobs").body["properties"]
    assert properties["deleteRetentionPolicy"]["enabled"] is True
    assert properties["containerDeleteRetentionPolicy"]["enabled"] is True
    assert resource("core/storage.bicep", "deploymentContainer").body["properties"]["publicAccess"] == "None"


def test_app_is_flex_consumption_python_over_https_as_the_identity() -> None:
    assert resource("app/function-app.bicep", "plan").body["sku"] == {"name": "FC1", "tier": "FlexConsumption"}
    body = resource("app/function-app.bicep", "app").body
    assert body["kind"] == "functionapp,linux"
    assert body["identity"]["type"] == "UserAssigned"
    properties = body["properties"]
    assert properties["httpsOnly"] is True
    assert properties["siteConfig"]["minTlsVersion"] == "1.2"
    assert properties["siteConfig"]["scmMinTlsVersion"] == "1.2"
    assert properties["siteConfig"]["ftpsState"] == "Disabled"
    assert properties["functionAppConfig"]["runtime"]["name"] == "python"
    storage = properties["functionAppConfig"]["deployment"]["storage"]
    assert storage["authentication"]["type"] == "UserAssignedIdentity"


def test_offered_pythons_are_those_the_lock_is_made_for() -> None:
    offered = re.search(r"@allowed\(\[([^\]]+)\]\)\s*@description[^\n]*\nparam pythonVersion", SOURCES[INFRA / "main.bicep"])
    assert offered is not None
    versions = re.findall(r"'([\d.]+)'", offered[1])
    assert versions != []
    assert all(tuple(map(int, version.split("."))) >= (3, 11) for version in versions)


def test_every_connection_is_by_identity() -> None:
    settings = app_settings()
    assert settings["AzureWebJobsStorage__credential"] == "managedidentity"
    assert settings["AzureWebJobsStorage__clientId"] == Expression("identityClientId")
    assert settings["AZURE_CLIENT_ID"] == Expression("identityClientId")
    assert settings["AzureWebJobsStorage__accountName"] == Expression("storageAccountName")
    assert settings["TIDEMILL_STORAGE"] == Expression("blobEndpoint")
    assert "Authorization=AAD" in settings["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"].text
    # With this name the host would want a connection string, and with the next, Flex Consumption refuses the whole deployment.
    assert "AzureWebJobsStorage" not in settings
    assert "FUNCTIONS_WORKER_RUNTIME" not in settings


def test_every_tidemill_setting_is_one_the_app_reads() -> None:
    documented = (ROOT / "tidemill" / "settings.py").read_text(encoding="utf-8")
    ours = {name for name in app_settings() if name.startswith("TIDEMILL_")}
    assert ours != set()
    assert {name for name in ours if f"`{name}`" not in documented} == set()


def test_what_a_laptop_sets_the_cloud_sets_too() -> None:
    local = json.loads((ROOT / "local.settings.json").read_text(encoding="utf-8"))["Values"]
    settings = app_settings()
    elsewhere = {"AzureWebJobsStorage", "FUNCTIONS_WORKER_RUNTIME"}
    assert {name: settings.get(name) for name in local if name not in elsewhere} == {
        name: value for name, value in local.items() if name not in elsewhere
    }


def test_no_secret_is_read_made_or_passed() -> None:
    secretive = re.compile(
        r"listKeys|listAccountSas|listSecrets|AccountKey|SharedAccessSignature|@secure|\bkeys?\[|password", re.IGNORECASE
    )
    assert secretive.search("var key = account.listKeys().keys[0].value") is not None
    assert {path.name: secretive.findall(text) for path, text in SOURCES.items() if secretive.search(text)} == {}


def test_telemetry_takes_data_only_from_identities() -> None:
    assert resource("core/monitoring.bicep", "insights").body["properties"]["DisableLocalAuth"] is True


def test_the_app_has_exactly_the_roles_it_needs() -> None:
    file = read(INFRA / "core" / "roles.bicep")
    roles = {each.name: each.body for each in file.of("var")}
    assert roles == BUILT_IN_ROLES
    granted = set()
    for each in file.of("resource"):
        if each.type.startswith("Microsoft.Authorization/roleAssignments@"):
            properties = each.body["properties"]
            role = re.fullmatch(
                r"subscriptionResourceId\('Microsoft.Authorization/roleDefinitions', (\w+)\)", properties["roleDefinitionId"].text
            )
            assert role is not None
            assert role[1] in each.body["name"].text  # two assignments with one name would overwrite each other
            granted.add((properties["principalId"].text, role[1], each.body["scope"].text))
    assert granted == {
        ("appPrincipalId", "blobDataOwner", "account"),
        ("appPrincipalId", "queueDataContributor", "account"),
        ("appPrincipalId", "tableDataContributor", "account"),
        ("appPrincipalId", "metricsPublisher", "insights"),
        ("readerPrincipalId", "blobDataReader", "account"),
    }


def test_azd_finds_the_app_by_its_tag() -> None:
    azure = (ROOT / "azure.yaml").read_text(encoding="utf-8")
    service = re.search(r"^services:\n  (\w+):\n", azure, re.MULTILINE)
    assert service is not None
    assert f"'azd-service-name': '{service[1]}'" in SOURCES[INFRA / "app" / "function-app.bicep"]
    assert re.search(r"^    host: function$", azure, re.MULTILINE) is not None
    assert re.search(r"^    language: python$", azure, re.MULTILINE) is not None
    assert "'azd-env-name': environmentName" in SOURCES[INFRA / "main.bicep"]


def test_only_the_app_is_deployed() -> None:
    ignored = GitIgnoreSpec.from_lines((ROOT / ".funcignore").read_text(encoding="utf-8").splitlines())
    deployed = [
        "function_app.py",
        "host.json",
        "requirements.txt",
        "tidemill/settings.py",
        "orchestrators/materialize_run.py",
        "activities/boundary.py",
        "pipelines/flights/assets.py",
        "pipelines/flights/gold.sql",
    ]
    kept_back = [
        "tests/unit/test_keys.py",
        "docs/index.md",
        "devhost/__main__.py",
        "tools/bootstrap.py",
        "benchmarks/year.py",
        "infra/main.bicep",
        "local.settings.json",
        "requirements.lock",
        "pyproject.toml",
        "Makefile",
        "README.md",
        ".venv/bin/python",
        ".tidemill/azurite-data/x",
        ".git/config",
        ".ci/run",
        "tidemill/__pycache__/settings.cpython-311.pyc",
        "node_modules/azurite/package.json",
    ]
    assert [path for path in deployed if ignored.match_file(path)] == []
    assert [path for path in kept_back if not ignored.match_file(path)] == []
