"""The settings of a run: one frozen model, plus the options of the chosen key store.

The models are the source of truth for the CLI's options (dashes), the task's inputs (camelCase) and the keys of
kspsign.yml (snake_case).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from kspsign.settings.commands import Command
from kspsign.settings.config_file import ConfigOrigin
from kspsign.settings.store_options import (
    AloneMeans,
    Ambient,
    AsGiven,
    Metavar,
    OneOf,
    Output,
    StoreOptions,
    Thumbprint,
    marker,
)
from kspsign.settings.timestamp_limits import TimestampLimits, parse_limits
from kspsign.settings.urls import url_fault

if TYPE_CHECKING:
    from kspsign.model.network_options import NetworkOptions

EngineName = Literal["auto", "native", "signtool", "smctl"]

DEFAULT_TIMESTAMP_URLS = (
    "http://timestamp.digicert.com",
    "http://timestamp.acs.microsoft.com",
    "http://timestamp.sectigo.com",  # last: it may be asked once in 15 seconds only
)


class Settings(BaseModel):
    """All settings of a run. Secrets are `SecretStr` and come from the environment or the task only."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    files: Annotated[tuple[str, ...], Ambient.HARMLESS] = Field(
        (), description="Glob patterns; ** any folders, ! excludes, @list.txt reads a list, @- standard input."
    )
    folder: Annotated[Path, Ambient.REFUSED, Metavar("FOLDER")] = Field(
        Path(), description="Folder that relative patterns start from (default: the working folder)."
    )
    key_store: Annotated[str | None, Ambient.HARMLESS, Metavar("NAME")] = Field(
        None, description="Where the private key is; never guessed."
    )
    engine: Annotated[EngineName, Ambient.REFUSED] = Field(
        "auto", description="Signing engine; auto: signtool for key store windows, native for all others."
    )
    thumbprint: Thumbprint = None
    signtool: Annotated[Path | None, Ambient.REFUSED] = Field(
        None, description="signtool.exe (default: PATH, then the newest Windows SDK, x64)."
    )
    smctl: Annotated[Path | None, Ambient.REFUSED] = Field(
        None, description="smctl.exe (default: PATH, then C:\\Program Files\\DigiCert)."
    )
    navsip: Annotated[Path | None, Ambient.REFUSED] = Field(
        None, description="NavSip.dll (x64) to register, for SignTool on .app packages."
    )
    tool_env: Annotated[tuple[str, ...], Ambient.REFUSED, Metavar("NAME")] = Field(
        (), description="Variable that signtool and smctl get besides SM_*; repeatable."
    )
    signtool_verify: Annotated[bool, Ambient.REFUSED] = Field(
        False, description="Verify with SignTool too, also what it did not sign."
    )
    digest: Annotated[Literal["sha256", "sha384", "sha512"], Ambient.HARMLESS] = Field(
        "sha256", description="Digest of file and timestamp."
    )
    timestamp_url: Annotated[tuple[str, ...], Ambient.REFUSED, OneOf("timestamp"), Metavar("URL")] = Field(
        (), description="RFC 3161 server; repeat it for a fallback order."
    )
    timestamp_mode: Annotated[Literal["separate", "inline"], Ambient.REFUSED] = Field(
        "separate", description="SignTool: timestamp after signing (a failure wastes no signature), or in one command."
    )
    no_timestamp: Annotated[bool, Ambient.REFUSED, OneOf("timestamp")] = Field(
        False, description="Sign without timestamp: signatures end with the certificate."
    )
    append: Annotated[bool, Ambient.REFUSED, OneOf("existing signatures")] = Field(
        False, description="Add a second signature to files that are signed already."
    )
    replace: Annotated[bool, Ambient.REFUSED, OneOf("existing signatures")] = Field(
        False, description="Replace the signatures of files that are signed already."
    )
    skip_signed: Annotated[bool, Ambient.REFUSED, OneOf("existing signatures")] = Field(
        False, description="Skip files that carry any valid signature."
    )
    description: Annotated[str | None, Ambient.HARMLESS, Metavar("TEXT")] = Field(
        None, description="Program name shown by Windows (UAC)."
    )
    description_url: Annotated[str | None, Ambient.HARMLESS, Metavar("URL")] = Field(
        None, description="URL shown next to the program name."
    )
    page_hashes: Annotated[bool, Ambient.HARMLESS] = Field(
        False, description="PE images: also sign a hash of each page (drivers)."
    )
    crlf: Annotated[bool, Ambient.REFUSED] = Field(
        False, description="PowerShell scripts: turn bare LF and CR into CRLF before signing."
    )
    inside: Annotated[tuple[str, ...], Ambient.REFUSED, Metavar("PATTERN"), AloneMeans("true")] = Field(
        (),
        description="What containers (zip, nupkg, msix ...) hold too: everything, or patterns: app.msix/**/*.dll, "
        "!...; repeatable.",
    )
    hardware_id: Annotated[tuple[str, ...], Ambient.REFUSED, Metavar("ID")] = Field(
        (), description="Hardware id that a driver's catalogue names (HWID1 ...); repeatable."
    )
    os_attribute: Annotated[tuple[str, ...], Ambient.REFUSED, Metavar("2:10.0")] = Field(
        (), description="Windows that a driver's files are for (OSAttr); repeatable."
    )
    trust_root: Annotated[tuple[Path, ...], Ambient.REFUSED] = Field(
        (), description="PEM file with roots to trust instead of the defaults."
    )
    policy: Annotated[Path | None, Ambient.REFUSED] = Field(
        None, description="Policy file (YAML): who must have signed what, and how."
    )
    provenance: Annotated[Path | None, Ambient.REFUSED, Output(), Metavar("FILE")] = Field(
        None, description="Signed provenance (SLSA) of all files: written when signing, demanded of each by verify."
    )
    catalog: Annotated[tuple[Path, ...], Ambient.REFUSED] = Field(
        (), description="Judge the files by this catalogue, which must list each; repeatable."
    )
    revocation: Annotated[Literal["off", "online"], Ambient.REFUSED] = Field(
        "off", description="online: ask OCSP responders and CRLs whether a certificate was revoked."
    )
    slice: Annotated[str | None, Ambient.REFUSED, Metavar("N/M|auto")] = Field(
        None, pattern=r"^(auto|[1-9]\d{0,3}/[1-9]\d{0,3})$", description="Part of the files: 2/5; auto: parallel jobs."
    )
    jobs: Annotated[int, Ambient.HARMLESS] = Field(
        32, ge=1, le=256, description="Maximum parallel signing requests; adapts automatically."
    )
    timestamp_jobs: Annotated[int, Ambient.HARMLESS] = Field(
        64, ge=1, le=256, description="Maximum parallel timestamp requests per server."
    )
    timestamp_limit: Annotated[tuple[str, ...], Ambient.HARMLESS, Metavar("HOST=N[/SECONDS]")] = Field(
        (), description="Requests at once to one timestamp server, and seconds between two; Sectigo's has 1/15."
    )
    max_signatures: Annotated[int | None, Ambient.HARMLESS] = Field(
        None, ge=0, description="Maximum number of signatures for the run; slices share it."
    )
    dry_run: Annotated[bool, Ambient.REFUSED] = Field(
        False, description="Sign nothing: report how many signatures the run would use."
    )
    fail_fast: Annotated[bool, Ambient.HARMLESS] = Field(False, description="Stop after the first file that fails.")
    journal: Annotated[Path | None, Ambient.REFUSED, Metavar("FOLDER")] = Field(
        None, description="Folder for signatures not yet embedded (default: inside the store)."
    )
    signature_cache: Annotated[Path | None, Ambient.REFUSED, Metavar("FOLDER")] = Field(
        None, description="Folder through which several runs share signatures and --max-signatures."
    )
    ledger: Annotated[Path | None, Ambient.REFUSED, Output(), Metavar("FILE")] = Field(
        None, description="Ledger to append every use of the key to (JSON lines); jobs may share it."
    )
    max_signatures_per_month: Annotated[int | None, Ambient.HARMLESS] = Field(
        None, ge=0, description="Maximum number of signatures of the definition in a calendar month, by the ledger."
    )
    shadow: Annotated[bool, Ambient.REFUSED] = Field(
        False, description="Write launchers although another signtool or smctl is on PATH."
    )
    store: Annotated[Path | None, Ambient.REFUSED, Metavar("FOLDER")] = Field(
        None, description="Folder of the portable thumbprint store."
    )
    output: Annotated[Path | None, Ambient.REFUSED, Output(), Metavar("PATH")] = Field(
        None,
        description="Where to write signatures (a folder for several files), the digest document or the catalogue.",
    )
    pem: Annotated[bool, Ambient.REFUSED] = Field(False, description="Write extracted signatures as PEM, not DER.")
    signature: Annotated[Path | None, Ambient.REFUSED] = Field(
        None, description="PKCS#7 signature of the one file, DER or PEM (default: FILE.p7s next to each file)."
    )
    document: Annotated[Path | None, Ambient.REFUSED] = Field(
        None, description="Digest document: sign its digests, or attach its signatures."
    )
    signer: Annotated[Path | None, Ambient.REFUSED] = Field(
        None, description="The signer's certificate, for formats whose digest depends on it (NuGet, MSIX)."
    )
    report: Annotated[Path | None, Ambient.REFUSED, Output("kspsign.publishing.report_file:report_pieces")] = Field(
        None, description="JSON report to write; - for standard output."
    )
    junit: Annotated[Path | None, Ambient.REFUSED, Output("kspsign.publishing.junit:junit_text")] = Field(
        None, description="JUnit results to write."
    )
    summary: Annotated[Path | None, Ambient.REFUSED, Output("kspsign.publishing.summary:summary_text")] = Field(
        None, description="Markdown summary to write."
    )
    html: Annotated[Path | None, Ambient.REFUSED, Output("kspsign.publishing.page:page_pieces")] = Field(
        None, description="HTML page to write: one file for any browser, without network."
    )
    vsa: Annotated[Path | None, Ambient.REFUSED, Output("kspsign.publishing.vsa:vsa_text")] = Field(
        None, description="Verification summary (SLSA VSA, unsigned) to write."
    )
    quiet: Annotated[bool, Ambient.REFUSED, OneOf("detail")] = Field(False, description="Print failures only.")
    publish_token_env: Annotated[str | None, Ambient.REFUSED, Metavar("NAME")] = Field(
        None, description="Variable with a token of Azure DevOps: publish the results over REST too."
    )
    verbose: Annotated[bool, Ambient.HARMLESS, OneOf("detail")] = Field(
        False, description="Print every check of every file, and every remote call."
    )
    ca_file: Annotated[Path | None, Ambient.REFUSED] = Field(
        None, description="PEM file with CA certificates for every connection."
    )

    command: Command = "run"
    store_options: Annotated[StoreOptions, AsGiven] | None = None
    given_options: Mapping[str, Any] = Field(default_factory=dict, repr=False)
    store_environment: dict[str, SecretStr] = Field(default_factory=dict, repr=False)
    publish_token: SecretStr | None = None
    agent_environment: dict[str, str] = Field(default_factory=dict, repr=False)
    credentials: dict[str, SecretStr] = Field(default_factory=dict, repr=False)
    network_environment: dict[str, SecretStr] = Field(default_factory=dict, repr=False)
    temp_folder: Path | None = None
    configuration: Annotated[ConfigOrigin, AsGiven] = Field(default_factory=ConfigOrigin)
    timestamp_digest: Literal["sha256", "sha384", "sha512"] | None = None
    issuers: tuple[bytes, ...] = Field((), repr=False)

    @field_validator(
        "files",
        "timestamp_url",
        "timestamp_limit",
        "tool_env",
        "trust_root",
        "catalog",
        "hardware_id",
        "os_attribute",
        mode="before",
    )
    @classmethod
    def _lines_are_items(cls, value: object) -> object:
        return [line.strip() for line in value.splitlines() if line.strip()] if isinstance(value, str) else value

    @field_validator("inside", mode="before")
    @classmethod
    def _all_or_patterns(cls, value: object) -> object:
        """`true` is everything inside, `false` nothing; else patterns, a line or an item each."""
        given = value.splitlines() if isinstance(value, str) else value if isinstance(value, (list, tuple)) else [value]
        words = [item.strip() if isinstance(item, str) else item for item in given]
        if any(word is False or word == "false" for word in words):
            if len(words) > 1:
                raise ValueError("inside is true, false, or patterns: false excludes the rest")
            return ()
        return ["**" if word is True or word == "true" else word for word in words if word not in {"", None}]

    @field_validator("timestamp_url")
    @classmethod
    def _are_urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, url in enumerate(value, start=1):
            if wrong := url_fault(url):
                which = f"URL {number} of {len(value)}" if len(value) > 1 else "the URL"
                raise ValueError(f"{which} of the timestamp server can't be used: {wrong}")
        return value

    @field_validator("timestamp_limit")
    @classmethod
    def _are_limits(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        parse_limits(value)
        return value

    @field_validator("os_attribute")
    @classmethod
    def _are_systems(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        wrong = next((text for text in value if not re.fullmatch(r"\d:\d{1,2}\.\d{1,2}(\.\d{1,6})?", text)), None)
        if wrong is not None:
            raise ValueError(f"{wrong!r} is not an OSAttr: 2 for Windows NT, a colon and the version, as 2:10.0")
        return value

    @field_validator("revocation", mode="before")
    @classmethod
    def _off_is_a_word(cls, value: object) -> object:
        return "off" if value is False else value  # as YAML reads it

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.append + self.replace + self.skip_signed > 1:
            raise ValueError("--append, --replace and --skip-signed exclude each other")
        if self.no_timestamp and self.timestamp_url:
            raise ValueError("--no-timestamp and --timestamp-url exclude each other")
        if self.quiet and self.verbose:
            raise ValueError("--quiet and --verbose exclude each other")
        return self

    @model_validator(mode="after")
    def _engine_can(self) -> Settings:
        if self.page_hashes and self.engine == "smctl":
            raise ValueError("--page-hashes needs --engine native or signtool: smctl has no option for it")
        if self.crlf and self.engine not in {"auto", "native"}:
            raise ValueError(f"--crlf needs --engine native: {self.engine} signs scripts as they are")
        return self

    @model_validator(mode="after")
    def _ledger_can(self) -> Settings:
        if self.ledger == STANDARD_OUTPUT:
            raise ValueError("--ledger names a file that lines are appended to; standard output is not one")
        if self.max_signatures_per_month is not None and self.ledger is None:
            raise ValueError("--max-signatures-per-month counts by the ledger: name it with --ledger")
        return self

    @model_validator(mode="after")
    def _catalogue_can(self) -> Settings:
        if self.catalog and self.slice is not None:
            raise ValueError("--catalog and --slice exclude each other: all files are needed to find those that miss")
        if self.catalog and self.inside:
            raise ValueError("--catalog and --inside exclude each other: no catalogue lists what is inside a container")
        if self.catalog and self.signtool_verify:
            raise ValueError("--catalog and --signtool-verify exclude each other: SignTool is not asked by catalogue")
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
    def timestamp_algorithm(self) -> str:
        """The digest of timestamps: the file's, but where a command line of SignTool names another one (/td)."""
        return self.timestamp_digest or self.digest

    @property
    def timestamp_limits(self) -> TimestampLimits:
        """How much is asked of each timestamp server."""
        return TimestampLimits(self.timestamp_jobs, parse_limits(self.timestamp_limit))

    @property
    def output_files(self) -> dict[str, Path]:
        """The files that were asked for, by the fields of OUTPUTS."""
        named: dict[str, Path | None] = {name: getattr(self, name) for name in OUTPUTS}
        return {name: path for name, path in named.items() if path is not None}

    @property
    def network(self) -> NetworkOptions:
        """How services are reached. Raises ConfigurationError for an unreadable list of the build agent."""
        from kspsign.settings.network import network_options  # noqa: PLC0415 - a run that only judges may ask no service

        return network_options(self.network_environment, self.ca_file)


STANDARD_OUTPUT = Path("-")
"""An output of this name goes to standard output."""

OUTPUTS: Final[Mapping[str, str]] = {
    name: output.text
    for name, field in Settings.model_fields.items()
    if (output := marker(field, Output)) is not None and output.text is not None
}
"""The fields that name a file to write, and what makes its content: a text, or an iterator of its pieces."""

INTERNAL_FIELDS = frozenset(
    {
        "command",
        "store_options",
        "given_options",
        "store_environment",
        "publish_token",
        "agent_environment",
        "credentials",
        "network_environment",
        "temp_folder",
        "configuration",
        "timestamp_digest",
        "issuers",
    }
)
"""Fields that neither the CLI's options, the task's inputs nor kspsign.yml may set by name."""


COMMAND_LINE_FIELDS: frozenset[str] = frozenset({"pem", "signature", "document", "signer"})
"""Of COMMAND_LINE_COMMANDS and of `sign --document`: neither the task nor the action has them."""
USER_FIELDS: Mapping[str, FieldInfo] = {
    name: field for name, field in Settings.model_fields.items() if name not in INTERNAL_FIELDS
}
"""The settings of any run that users may give, by name."""


def default_store_folder() -> Path:
    """Where certificates are kept by thumbprint unless --store says otherwise: the user's own data folder."""
    import platformdirs  # noqa: PLC0415 - a run that names its store does not ask

    return Path(platformdirs.user_data_dir("kspsign", appauthor=False)) / "store"


def in_temp_folder(settings: Settings, temp_folder: Path) -> Settings:
    """`settings` whose temporary files are in `temp_folder`, or in the system's where that is not a folder."""
    return settings.model_copy(update={"temp_folder": temp_folder if temp_folder.is_dir() else None})
