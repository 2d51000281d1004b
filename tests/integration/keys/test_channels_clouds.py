"""The credentials for AWS KMS, Google Cloud KMS and Vault through the GitHub action, which has them by `env:` or by the
job's own token.

Those of the packaged task are tried where it is (test_task_credentials.py), what Azure Pipelines gives a service
connection by the first pipelines (test_first_pipelines.py), and the command line by the tests of each key store.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.aws.server import ALIAS, Aws
from support.aws.sign_in import GITHUB_TOKEN as AWS_GITHUB_TOKEN
from support.aws.world import REGION, ROLE, SECRET_KEY
from support.certificates import rsa_key
from support.channels import Ended, Step, action
from support.formats.peimages import build_pe
from support.google.server import GITHUB_TOKEN as GOOGLE_GITHUB_TOKEN
from support.google.server import Google
from support.google.world import KEY as GOOGLE_KEY
from support.google.world import PROVIDER
from support.key_vault.server import Azure
from support.key_vault.world import JOB_TOKEN, World
from support.samples import osslsigncode_verify
from support.vault_transit.server import TransitServer
from support.vault_transit.world import KEY as VAULT_KEY
from support.vault_transit.world import LIVES, ROLE_ID, SECRET_ID, TOKEN, VaultWorld


@dataclass(frozen=True)
class Made:
    """What a step gets: settings, variables, the secrets among them, and who knows which tokens were given out."""

    settings: Mapping[str, str]
    variables: Mapping[str, str]
    root: Path
    secrets: Callable[[], set[str]]


def aws(folder: Path, stack: ExitStack, more: Mapping[str, str], variables: Callable[[Aws], dict[str, str]]) -> Made:
    server = stack.enter_context(Aws(folder))
    certificate, root = server.publish(folder, rsa_key(2048), begin=LIVES["begin"], end=LIVES["end"])
    settings = {"key_store": "aws-kms", "kms_key": ALIAS, "kms_endpoint": server.endpoint, **more}

    def secrets() -> set[str]:
        keys = server.aws.access_keys.values()
        tokens = {key.token for key in keys if key.token}
        return {SECRET_KEY, AWS_GITHUB_TOKEN, *(key.secret for key in keys), *tokens, *server.aws.oidc_tokens}

    place = {"AWS_REGION": REGION, "AWS_ENDPOINT_URL_STS": server.endpoint}
    return Made({**settings, "certificate": str(certificate)}, {**place, **variables(server)}, root, secrets)


def aws_keys(folder: Path, stack: ExitStack) -> Made:
    return aws(folder, stack, {}, lambda server: server.keys)


def aws_github(folder: Path, stack: ExitStack) -> Made:
    return aws(folder, stack, {"aws_role_arn": ROLE}, lambda server: server.github)


def google(folder: Path, stack: ExitStack) -> tuple[Google, Made]:
    server = stack.enter_context(Google(folder))
    _version, certificate, root = server.publish(folder, rsa_key(2048), begin=LIVES["begin"], end=LIVES["end"])
    settings = {"key_store": "google-cloud-kms", "kms_key": GOOGLE_KEY, "certificate": str(certificate)}

    def secrets() -> set[str]:
        return {GOOGLE_GITHUB_TOKEN, *server.google.tokens, *server.google.oidc_tokens}

    network = {**server.environment, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return server, Made(settings, network, root, secrets)


def google_file(folder: Path, stack: ExitStack) -> Made:
    server, made = google(folder, stack)
    file = server.service_account(folder / "account.json")
    planted = {line for line in file.read_text().split("\\n") if len(line) == 64}
    settings = {**made.settings, "google_credentials": str(file)}
    return Made(settings, made.variables, made.root, lambda: {*made.secrets(), *planted})


def google_github(folder: Path, stack: ExitStack) -> Made:
    server, made = google(folder, stack)
    settings = {**made.settings, "google_workload_provider": PROVIDER}
    return Made(settings, {**made.variables, **server.github}, made.root, made.secrets)


def vault(folder: Path, stack: ExitStack) -> tuple[TransitServer, Made]:
    server = stack.enter_context(TransitServer(VaultWorld(), folder))
    settings = {"key_store": "vault", "vault_address": server.url, "keypair_alias": VAULT_KEY}
    settings["ca_file"] = str(server.ca_file)

    def secrets() -> set[str]:
        return {TOKEN, SECRET_ID, JOB_TOKEN, *server.world.tokens, *server.world.jwts}

    return server, Made(settings, {}, folder / "root.pem", secrets)


def vault_token(folder: Path, stack: ExitStack) -> Made:
    server, made = vault(folder, stack)
    return Made(made.settings, server.environment, made.root, made.secrets)


def vault_approle(folder: Path, stack: ExitStack) -> Made:
    _server, made = vault(folder, stack)
    settings = {**made.settings, "vault_role": ROLE_ID}
    return Made(settings, {"VAULT_SECRET_ID": SECRET_ID}, made.root, made.secrets)


def vault_github(folder: Path, stack: ExitStack) -> Made:
    """GitHub's token is for Vault's URL, where nothing else is named."""
    server, made = vault(folder, stack)
    github = stack.enter_context(Azure(World({}, audience=server.url, oidc_tokens=server.world.jwts), folder))
    both = folder / "both.pem"
    both.write_bytes(server.ca_file.read_bytes() + Path(github.environment["REQUESTS_CA_BUNDLE"]).read_bytes())
    settings = {**made.settings, "vault_role": "ci", "ca_file": str(both)}
    variables = {**github.github_environment, "NO_PROXY": "localhost", "no_proxy": "localhost"}
    return Made(settings, variables, made.root, made.secrets)


@pytest.mark.parametrize(
    "kind", [aws_keys, aws_github, google_github, vault_token, vault_github], ids=lambda kind: kind.__name__
)
def test_it_signs_in_and_shows_no_secret(kind: Callable[[Path, ExitStack], Made], tmp_path: Path) -> None:
    check_sign_in(kind, action, tmp_path)


def check_sign_in(kind: Callable[[Path, ExitStack], Made], channel: Callable[[Step], Ended], folder: Path) -> None:
    """A step with credentials of that kind signs, and neither its log nor its folders hold a secret."""
    service, work, store = folder / "service", folder / "work", folder / "store"
    service.mkdir()
    work.mkdir()
    (work / "app.exe").write_bytes(build_pe())
    with ExitStack() as stack:
        made = kind(service, stack)
        more = {"store": str(store), "trust_root": str(made.root), "no_timestamp": "true"}
        code, text = channel(Step({**made.settings, **more}, made.variables, work))
    assert code == 0, text
    assert osslsigncode_verify(work / "app.exe", made.root).accepted
    files = [path for place in (work, store) for path in place.rglob("*") if path.is_file()]
    for secret in made.secrets():
        assert secret not in text
        assert not any(secret.encode() in path.read_bytes() for path in files)
