"""The environment variables that kspsign reads, for docs/reference/settings.md; a test finds them in the sources."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Variables:
    """Variables of one purpose. `library` is true where a library reads them, and no source of ours names them."""

    names: tuple[str, ...]
    meaning: str
    library: bool = False


READ: tuple[Variables, ...] = (
    Variables(
        ("SM_HOST", "SM_API_KEY", "SM_CLIENT_CERT_FILE", "SM_CLIENT_CERT_PASSWORD"),
        "DigiCert's host, API key, client certificate and its password: key stores `keylocker` and `windows`, and "
        "DigiCert's library with `pkcs11`. Every variable that begins with `SM_` goes to these alone.",
    ),
    Variables(("SM_CLIENT_CERT_FILE_B64",), "The client certificate as base64, instead of its file."),
    Variables(("SM_CA_FILE",), "Roots to trust for DigiCert's host, besides the system's (key store `keylocker`)."),
    Variables(("SM_CONN_TIMEOUT",), "Deadline for DigiCert's host, in milliseconds."),
    Variables(
        (
            *("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH"),
            *("AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_CONFIG_DIR"),
        ),
        "Who signs in to Azure and by what: see [Key Vault](../how-to/azure-key-vault.md#who-signs-in).",
    ),
    Variables(
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
        "The sign-in by GitHub's token: jobs with `permissions: id-token: write` have them.",
    ),
    Variables(
        (
            *("AZURESUBSCRIPTION_TENANT_ID", "AZURESUBSCRIPTION_CLIENT_ID", "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"),
            *("SYSTEM_OIDCREQUESTURI", "SYSTEM_ACCESSTOKEN"),
        ),
        "Workload identity federation in a script of Azure Pipelines, which maps `SYSTEM_ACCESSTOKEN: "
        "$(System.AccessToken)`; the task signs in without. Where a step maps it, the task also publishes over REST, "
        "and the command `gate` takes it as its token.",
    ),
    Variables(
        ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"),
        "Proxies: see [network](network.md).",
    ),
    Variables(
        ("AGENT_PROXYURL", "AGENT_PROXYUSERNAME", "AGENT_PROXYPASSWORD", "AGENT_PROXYBYPASSLIST"),
        "The proxy that the agent was configured with.",
    ),
    Variables(
        ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "AGENT_CAINFO"),
        "PEM file with roots to trust on connections, where `--ca-file` names none.",
    ),
    Variables(
        ("KSPSIGN_CONFIG",),
        "The configuration file of the command lines of [smctl](smctl.md) and SignTool; they read no other.",
    ),
    Variables(
        ("KSPSIGN_PASSWORD",),
        "The password that a step with `command: shims` had as an input, mapped by the steps that sign.",
    ),
    Variables(("GITHUB_PATH",), "Where the action's `command: shims` puts the folder of its launchers."),
    Variables(
        ("TF_BUILD", "GITHUB_ACTIONS"), "Whether this is a step of Azure Pipelines or GitHub Actions: how results show."
    ),
    Variables(
        (
            *("BUILD_BUILDID", "BUILD_BUILDNUMBER", "BUILD_DEFINITIONNAME", "BUILD_REPOSITORY_NAME"),
            *("BUILD_SOURCEVERSION", "AGENT_JOBNAME", "SYSTEM_JOBDISPLAYNAME", "SYSTEM_JOBATTEMPT", "SYSTEM_JOBID"),
            *("SYSTEM_COLLECTIONURI", "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI", "SYSTEM_TEAMPROJECT"),
            *("SYSTEM_TEAMPROJECTID", "RELEASE_RELEASEURI", "RELEASE_ENVIRONMENTURI"),
            *("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_REPOSITORY_OWNER", "GITHUB_WORKFLOW", "GITHUB_JOB"),
            *("GITHUB_RUN_ID", "GITHUB_RUN_NUMBER", "GITHUB_RUN_ATTEMPT", "GITHUB_SHA"),
        ),
        "The build, job and release that the report names and results are published for.",
    ),
    Variables(
        (
            *("BUILD_SOURCEBRANCH", "BUILD_REPOSITORY_URI", "SYSTEM_DEFINITIONID", "BUILD_REQUESTEDFOR"),
            *("BUILD_REASON", "AGENT_ISSELFHOSTED", "GITHUB_REF", "GITHUB_WORKFLOW_REF", "GITHUB_ACTOR"),
            *("GITHUB_EVENT_NAME", "RUNNER_ENVIRONMENT"),
        ),
        "The source and the person that the [ledger](ledger.md) names.",
    ),
    Variables(
        ("SYSTEM_JOBPOSITIONINPHASE", "SYSTEM_TOTALJOBSINPHASE"), "Which of the parallel jobs this is: `slice: auto`."
    ),
    Variables(("SYSTEM_DEBUG", "RUNNER_DEBUG"), "Debug runs of the pipeline: `--verbose`, and more."),
    Variables(("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY"), "Where a step of GitHub Actions leaves its results."),
    Variables(
        ("AGENT_TEMPDIRECTORY", "RUNNER_TEMP", "GITHUB_WORKSPACE"),
        "The job's temporary folder, otherwise the system's (`TMPDIR`, `TEMP`); the workspace.",
    ),
    Variables(
        ("AGENT_TOOLSDIRECTORY", "AGENT_OSARCHITECTURE", "SYSTEM_DEFAULTWORKINGDIRECTORY"),
        "Where the task finds Python and starts.",
    ),
    Variables(
        ("PIP_INDEX_URL", "PIP_CERT"),
        "The package index and its roots, where the task [installs libraries](package.md#other-interpreters).",
    ),
    Variables(
        (
            "KSPSIGN_INPUT_",
            "KSPSIGN_HOST_TEMP",
            "KSPSIGN_HOST_WORKSPACE",
            "AZURE_CLIENT_CERTIFICATE",
            "AZURE_CONNECTION_SCHEME",
        ),
        "How the action and the task hand over inputs and what the service connection holds. Not for your use.",
    ),
    Variables(("NO_COLOR",), "No colours in a terminal.", library=True),
    Variables(
        ("XDG_DATA_HOME", "LOCALAPPDATA"), "Where the user's data are, the thumbprint store among them.", library=True
    ),
)
"""Every variable is in one of them."""

WRITTEN = frozenset({"AZURE_CORE_NO_COLOR", "AZURE_CORE_ONLY_SHOW_ERRORS", "AZURE_DEVOPS_CACHE_DIR"})
"""Variables that kspsign sets for a program or library, and does not read."""
