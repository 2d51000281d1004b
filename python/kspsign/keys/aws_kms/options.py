"""The options of key store aws-kms: which key, where, and whose rights."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from kspsign.keys.options import CloudKey, IssuerFetching, PipelineConnection
from kspsign.settings.store_options import Ambient, Metavar


class AwsKmsOptions(CloudKey, IssuerFetching, PipelineConnection):
    """Key, certificate and region, and the role to assume; the rest of the sign-in is found as by AWS's own clients."""

    variables: ClassVar[frozenset[str]] = PipelineConnection.variables | {
        "AWS_ACCESS_KEY_ID",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_DEFAULT_REGION",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "AWS_ENDPOINT_URL_KMS",
        "AWS_ENDPOINT_URL_STS",
        "AWS_REGION",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_USE_FIPS_ENDPOINT",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    }

    aws_region: Annotated[str | None, Ambient.REFUSED, Metavar("REGION")] = Field(
        None, description="AWS region of the key (default: that of its ARN, else AWS_REGION)."
    )
    aws_role_arn: Annotated[str | None, Ambient.REFUSED, Metavar("ARN")] = Field(
        None, description="IAM role to assume with the pipeline's OIDC token (default: AWS_ROLE_ARN)."
    )
