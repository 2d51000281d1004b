"""What a run is to do: one frozen model.

The model is the source of truth for the CLI's options (dashes), the task's inputs (camelCase) and the keys of
kspsign.yml (snake_case).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import platformdirs
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from kspsign.model.network_options import NetworkOptions
from kspsign.settings.network import network_options

Command = Literal["run", "certsync", "sign", "timestamp", "verify", "doctor", "merge"]
KeyStoreName = Literal["embedded", "pkcs12", "keylocker", "azure-key-vault", "pkcs11", "windows"]
AzureCredentialName = Literal["auto", "pipelines", "client-secret", "managed-identity", "cli"]
EngineName = Literal["auto", "native", "signtool", "smctl"]

DEFAULT_TIMESTAMP_URLS = (
    "http://timestamp.digicert.com",
    "http://timestamp.sectigo.com",
    "http://timestamp.acs.microsoft.com",
)


class Settings(BaseModel):
    """Everything a run may be told. Secrets are `SecretStr` and come from the environment or the task only."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    files: tuple[str, ...] = Field((), description="Glob patterns; ** any folders, ! excludes, @list.txt reads a list.")
    folder: Path = Field(Path(), description="Folder that relative patterns start from (default: the working folder).")
    key_store: KeyStoreName | None = Field(None, description="Who holds the private key; never guessed.")
    engine: EngineName = Field("auto", description="What makes the signatures; auto: signtool for key store windows.")
    keypair_alias: str | None = Field(None, description="Alias of the key pair in the key store (case-sensitive).")
    thumbprint: str | None = Field(None, description="SHA-1 thumbprint of the certificate (40 hex digits).")
    pkcs12: Path | None = Field(None, description="PKCS#12 file (key store pkcs12).")
    password_env: str | None = Field(None, description="Name of the environment variable with its password.")
    key_identifier: str | None = Field(None, description="URL of the key or certificate (key store azure-key-vault).")
    azure_credential: AzureCredentialName = Field("auto", description="Who signs in to Azure; auto: by what is given.")
    azure_tenant_id: str | None = Field(None, description="Entra tenant (default: AZURE_TENANT_ID).")
    azure_client_id: str | None = Field(None, description="Application or managed identity (default: AZURE_CLIENT_ID).")
    azure_connection_id: str | None = Field(
        None, description="Id of the Azure RM service connection (default: AZURESUBSCRIPTION_SERVICE_CONNECTION_ID)."
    )
    no_aia: bool = Field(False, description="Never fetch missing intermediate certificates from where the CA says.")
    pkcs11_module: Path | None = Field(None, description="PKCS#11 library of the token's vendor (key store pkcs11).")
    pkcs11_token: str | None = Field(None, description="Label of the PKCS#11 token (default: the only one).")
    pkcs11_slot: int | None = Field(None, ge=0, description="Slot id of the PKCS#11 token, instead of its label.")
    pkcs11_key_id: str | None = Field(None, description="CKA_ID of the key in hex, instead of keypair_alias (label).")
    pkcs11_pin_env: str | None = Field(None, description="Name of the environment variable with the token's PIN.")
    csp: str = Field("DigiCert Signing Manager KSP", description="Name of the KSP, verbatim (SignTool's /csp).")
    certificate: Path | None = Field(None, description="Certificate file to sign with, without store or certsync.")
    certificate_store: Literal["user", "system"] = Field("user", description="Whose Windows certificate store (My).")
    account_id: str | None = Field(None, description="DigiCert ONE account of the key pair, where there are several.")
    signtool: Path | None = Field(None, description="signtool.exe (default: PATH, then the newest Windows SDK, x64).")
    smctl: Path | None = Field(None, description="smctl.exe (default: PATH, then C:\\Program Files\\DigiCert).")
    tools_msi: str | None = Field(None, description="MSI (file or https URL) to install where smctl is not found.")
    tools_msi_sha256: str | None = Field(None, description="SHA-256 of that MSI; nothing else is installed.")
    navsip: Path | None = Field(None, description="NavSip.dll (x64) to register, for SignTool on .app packages.")
    tool_env: tuple[str, ...] = Field((), description="Variable that signtool and smctl get besides SM_*; repeatable.")
    signtool_verify: bool = Field(False, description="Verify with SignTool too, also what it did not sign.")
    digest: Literal["sha256", "sha384", "sha512"] = Field("sha256", description="Digest of file and timestamp.")
    timestamp_url: tuple[str, ...] = Field((), description="RFC 3161 server; repeat it for a fallback order.")
    timestamp_mode: Literal["separate", "inline"] = Field(
        "separate", description="SignTool: stamp after signing (a failure wastes no signature), or in one command."
    )
    no_timestamp: bool = Field(False, description="Sign without timestamp: signatures end with the certificate.")
    append: bool = Field(False, description="Add a second signature to files that are signed already.")
    replace: bool = Field(False, description="Replace the signatures of files that are signed already.")
    skip_signed: bool = Field(False, description="Leave files alone that carry any valid signature.")
    description: str | None = Field(None, description="Program name shown by Windows (UAC).")
    description_url: str | None = Field(None, description="URL shown beside the program name.")
    page_hashes: bool = Field(False, description="PE images: also sign a hash of each page (drivers).")
    trust_root: tuple[Path, ...] = Field((), description="PEM file with roots to trust instead of the defaults.")
    policy: Path | None = Field(None, description="Policy file (YAML): who must have signed what, and how.")
    revocation: Literal["off", "online"] = Field(
        "off", description="online: ask OCSP responders and CRLs whether a certificate was revoked."
    )
    slice: str | None = Field(
        None, pattern=r"^(auto|[1-9]\d{0,3}/[1-9]\d{0,3})$", description="Part of the files: 2/5; auto: parallel jobs."
    )
    jobs: int = Field(32, ge=1, le=256, description="Signatures asked for at once, at most; found out while asking.")
    timestamp_jobs: int = Field(64, ge=1, le=256, description="Timestamps asked of one server at once, at most.")
    max_signatures: int | None = Field(None, ge=0, description="Signatures that the run may spend; slices share them.")
    dry_run: bool = Field(False, description="Sign nothing: say how many signatures the run would spend.")
    fail_fast: bool = Field(False, description="Begin no further file after the first that fails.")
    journal: Path | None = Field(None, description="Folder of signatures that are in no file yet (default: the store).")
    store: Path | None = Field(None, description="Folder of the portable thumbprint store.")
    report: Path | None = Field(None, description="JSON report to write.")
    junit: Path | None = Field(None, description="JUnit results to write.")
    summary: Path | None = Field(None, description="Markdown summary to write.")
    quiet: bool = Field(False, description="Print failures only.")
    publish_token_env: str | None = Field(
        None, description="Variable with a token of Azure DevOps: publish the results over REST too."
    )
    verbose: bool = Field(False, description="Print every check of every file, and every call of a service.")
    ca_file: Path | None = Field(None, description="PEM file with CA certificates for every connection.")

    command: Command = "run"
    password: SecretStr | None = None
    publish_token: SecretStr | None = None
    azure_environment: dict[str, SecretStr] = Field(default_factory=dict, repr=False)
    agent_environment: dict[str, str] = Field(default_factory=dict, repr=False)
    credentials: dict[str, SecretStr] = Field(default_factory=dict, repr=False)
    network_environment: dict[str, SecretStr] = Field(default_factory=dict, repr=False)
    temp_folder: Path | None = None

    @field_validator("thumbprint")
    @classmethod
    def _hex40(cls, value: str | None) -> str | None:
        if value is None:
            return None
        # Windows' certificate dialog puts a hidden U+200E before the thumbprint that is copied from it.
        bare = "".join(char for char in value if char.isprintable() and char not in ": ").upper()
        if len(bare) != 40 or not set(bare) <= set("0123456789ABCDEF"):
            raise ValueError(f"a thumbprint has 40 hex digits; {value!r} does not (SHA-1 picks the certificate only)")
        return bare

    @field_validator("revocation", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        return "off" if value is False else value  # as YAML reads it

    @field_validator("tools_msi_sha256")
    @classmethod
    def _hex64(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch("[0-9A-Fa-f]{64}", value):
            raise ValueError(f"a SHA-256 has 64 hex digits; {value!r} does not")
        return value.lower() if value else None

    @field_validator("tools_msi")
    @classmethod
    def _file_or_https(cls, value: str | None) -> str | None:
        scheme, found, _rest = (value or "").partition("://")
        if found and scheme.lower() != "https":
            raise ValueError(f"an installer is downloaded over https only, not over {scheme}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.append + self.replace + self.skip_signed > 1:
            raise ValueError("append, replace and skip_signed exclude each other")
        if self.no_timestamp and self.timestamp_url:
            raise ValueError("no_timestamp and timestamp_url exclude each other")
        if (self.tools_msi is None) != (self.tools_msi_sha256 is None):
            raise ValueError("tools_msi and tools_msi_sha256 need each other: only an MSI that is known is installed")
        if self.quiet and self.verbose:
            raise ValueError("quiet and verbose exclude each other")
        if self.certificate is not None and self.key_store not in _CERTIFICATE_FILE_STORES:
            raise ValueError(f"certificate (the file) needs key_store {', '.join(sorted(_CERTIFICATE_FILE_STORES))}")
        if self.certificate is not None and self.key_store == "windows" and self.keypair_alias is None:
            raise ValueError("certificate (the file) with key_store windows needs keypair_alias")
        if self.password_env is not None and self.pkcs11_pin_env is not None:
            raise ValueError("password_env and pkcs11_pin_env exclude each other: a run has one key store")
        if self.pkcs11_token is not None and self.pkcs11_slot is not None:
            raise ValueError("pkcs11_token and pkcs11_slot exclude each other")
        if self.key_store == "pkcs12" and self.pkcs12 is None and self.thumbprint is None:
            raise ValueError("key store pkcs12 needs pkcs12 (the file)")
        return self

    @model_validator(mode="after")
    def _engine_can(self) -> Settings:
        if self.page_hashes and self.engine == "smctl":
            raise ValueError("page_hashes needs the engine native or signtool: smctl has no option for it")
        return self

    @property
    def store_folder(self) -> Path:
        """The portable thumbprint store of this run."""
        return self.store or default_store_folder()

    @property
    def journal_folder(self) -> Path:
        """Where signatures are kept until their files are written."""
        return self.journal or self.store_folder / "journal"

    @property
    def network(self) -> NetworkOptions:
        """How services are reached. Raises ConfigurationError for an unreadable list of the build agent."""
        return network_options(self.network_environment, self.ca_file)


INTERNAL_FIELDS = frozenset(
    {
        "command",
        "password",
        "publish_token",
        "agent_environment",
        "azure_environment",
        "credentials",
        "network_environment",
        "temp_folder",
    }
)
"""Fields that neither the CLI's options, the task's inputs nor kspsign.yml may set by name."""

_CERTIFICATE_FILE_STORES = frozenset({"azure-key-vault", "pkcs11", "windows"})


def default_store_folder() -> Path:
    """Where certificates are kept by thumbprint unless --store says otherwise: the user's own data folder."""
    return Path(platformdirs.user_data_dir("kspsign", appauthor=False)) / "store"


def option_name(field: str) -> str:
    """The CLI option of a settings field, e.g. timestamp_url -> --timestamp-url."""
    return "--" + field.replace("_", "-")
