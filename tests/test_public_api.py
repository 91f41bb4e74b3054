"""What people may import from the package: exactly these names. A release that removes or renames one breaks somebody.

Public is what stands in the package's own folder; what stands in a sub-package may move.
"""

from __future__ import annotations

import importlib

import pytest

from support.definitions import PACKAGE, public_names

DOORS = {
    "dag_factory": {"directory_dag", "usage_dag", "warehouse_dag"},
    "errors": {
        "CAN_HEAL",
        "CheckFailedError",
        "ConfigurationError",
        "ConflictError",
        "CredentialError",
        "IncompleteListingError",
        "JumpCloudError",
        "LandingError",
        "NotEnabledError",
        "NotFoundError",
        "NotPublishedError",
        "OrganizationHeaderError",
        "PageShapeError",
        "PermissionDeniedError",
        "RedirectRefusedError",
        "RepeatedCursorError",
        "RequestError",
        "ResponseError",
        "TransientError",
        "WarehouseError",
    },
    "export": {
        "EXPORTS",
        "EXPORT_BATCH_ROWS",
        "FORMATS",
        "FORMULA",
        "SAAS_FIELDS",
        "SAAS_IMPORT",
        "main",
        "no_filters",
        "write_csv",
        "write_parquet",
        "write_saas_import",
    },
    "hook": {"JumpCloudHook", "TESTED_ORGANIZATIONS"},
    "operators": {"JumpCloudDirectoryOperator", "JumpCloudUsageOperator", "JumpCloudWarehouseOperator"},
    "plugin": {"JumpCloudPlugin"},
    "provider_info": {"CONFIG", "CONNECTION_TYPE_INFO", "get_provider_info"},
    "reading": {"MARTS", "open_warehouse", "read_mart", "unreadable"},
}


def test_the_doors_are_the_modules_in_the_packages_own_folder() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"} == set(DOORS)


@pytest.mark.parametrize("door", DOORS)
def test_a_door_defines_these_names_and_no_other(door: str) -> None:
    assert public_names(PACKAGE / f"{door}.py") == DOORS[door]
    module = importlib.import_module(f"jumpcloud_elt.{door}")
    assert [name for name in DOORS[door] if not hasattr(module, name)] == []
