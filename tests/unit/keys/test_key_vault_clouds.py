"""Where the vaults and HSMs of each cloud sign in: as Microsoft's page on national clouds names the hosts."""

from __future__ import annotations

import pytest

from kspsign.keys.azure_key_vault.identifier import sign_in_host


@pytest.mark.parametrize(
    ("host", "sign_in"),
    [
        ("contoso.vault.azure.net", None),
        ("contoso.managedhsm.azure.net", None),
        ("contoso.vault.azure.cn", "login.chinacloudapi.cn"),
        ("contoso.managedhsm.azure.cn", "login.chinacloudapi.cn"),
        ("contoso.vault.usgovcloudapi.net", "login.microsoftonline.us"),
        ("contoso.managedhsm.usgovcloudapi.net", "login.microsoftonline.us"),
        ("contoso.vault.azure.cn.example.org", None),
    ],
)
def test_a_vault_signs_in_where_its_cloud_does(host: str, sign_in: str | None) -> None:
    assert sign_in_host(f"https://{host}") == sign_in
