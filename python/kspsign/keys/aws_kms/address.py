"""Where a key of AWS KMS is: its name in the service, its region, and the host that serves it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from kspsign.keys.aws_kms.options import AwsKmsOptions
from kspsign.keys.rest import checked_endpoint
from kspsign.model.errors import ConfigurationError

_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:kms:(?P<region>[a-z0-9-]+):\d{12}:(?:key/[0-9A-Za-z-]+|alias/[\w/-]+)", re.ASCII
)
_NAME: Final = re.compile(r"alias/[\w/-]{1,250}|mrk-[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_REGION: Final = re.compile(r"[a-z]{2,5}(?:-[a-z]+)+-\d{1,2}")
_DOMAINS: Final = {
    "cn-": "amazonaws.com.cn",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "eu-isoe-": "cloud.adc-e.uk",
    "us-isof-": "csp.hci.ic.gov",
    "eusc-": "amazonaws.eu",
}
"""The DNS domain of each partition, by how its regions begin; all others are in amazonaws.com."""
_PUBLIC: Final = "amazonaws.com"


@dataclass(frozen=True, slots=True)
class KeyAddress:
    """`key` is a key id, alias/NAME or ARN; `endpoint` and `sts` are URLs without a slash at the end."""

    key: str
    region: str
    endpoint: str
    sts: str

    def __str__(self) -> str:
        return f"KMS key {self.key}"


def find_address(options: AwsKmsOptions, environment: Mapping[str, SecretStr], key: str | None = None) -> KeyAddress:
    """The address of `key`, None: the one that the options name.

    Raises ConfigurationError when key or region is missing or malformed.
    """
    given = {name: value.get_secret_value() for name, value in environment.items()}
    key = key or options.kms_key
    if key is None:
        raise ConfigurationError(
            "key store aws-kms needs the key",
            remedy="Give its ARN with --kms-key: arn:aws:kms:REGION:ACCOUNT:key/ID, or its id or alias/NAME.",
        )
    arn = _ARN.fullmatch(key)
    if arn is None and not _NAME.fullmatch(key):
        raise ConfigurationError(
            f"{key!r} is not a key of AWS KMS",
            remedy="Copy it from the KMS console: arn:aws:kms:REGION:ACCOUNT:key/ID, the key id, or alias/NAME.",
        )
    region = _region(options.aws_region, None if arn is None else arn["region"], given)
    fips = given.get("AWS_USE_FIPS_ENDPOINT", "").strip().lower() == "true"
    option = "--kms-endpoint" if options.kms_endpoint else "AWS_ENDPOINT_URL_KMS"
    own, sts = options.kms_endpoint or given.get("AWS_ENDPOINT_URL_KMS"), given.get("AWS_ENDPOINT_URL_STS")
    return KeyAddress(
        key,
        region,
        checked_endpoint(own, option) if own else _public("kms", region, fips=fips),
        checked_endpoint(sts, "AWS_ENDPOINT_URL_STS") if sts else _public("sts", region, fips=fips),
    )


def _region(option: str | None, of_arn: str | None, given: Mapping[str, str]) -> str:
    region = of_arn or option or given.get("AWS_REGION") or given.get("AWS_DEFAULT_REGION")
    if not region:
        raise ConfigurationError(
            "the region of the KMS key is not known",
            remedy="Give the key as ARN with --kms-key, its region with --aws-region, or set AWS_REGION.",
        )
    if option is not None and option != region:
        raise ConfigurationError(
            f"--aws-region is {option}, and the key's ARN is in {region}",
            remedy="Leave --aws-region out where --kms-key is an ARN.",
        )
    if not _REGION.fullmatch(region):
        raise ConfigurationError(
            f"{region!r} is not an AWS region", remedy="Give it as AWS writes it, such as eu-central-1."
        )
    return region


def _public(service: str, region: str, *, fips: bool) -> str:
    """The service's regional endpoint, by its partition."""
    domain = next((domain for begin, domain in _DOMAINS.items() if region.startswith(begin)), _PUBLIC)
    return f"https://{service}{'-fips' if fips else ''}.{region}.{domain}"
