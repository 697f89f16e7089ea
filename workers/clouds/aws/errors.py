"""Translates AWS's errors to DriverError, or to Refused with cause and mend."""

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from workers.clouds.driver import DriverError, NoAnswer, Refused
from workers.placement.offer import Offer
from workers.placement.refusal_codes import AWS as CODES
from workers.placement.refusal_codes import classify
from workers.placement.refusals import Refusal, Scope

SERVER_ERROR = 500

KEYS = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`"
NEW_KEYS = (
    "Log in again (`aws sso login`), or set a fresh AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
)
PERMISSIONS = (
    "Grant the permissions ec2:CreateFleet, ec2:RunInstances, ec2:TerminateInstances, ec2:CreateTags, ec2:Describe*, "
    "ec2:GetConsoleOutput, ec2:Create- and DeleteLaunchTemplate, ec2:CreateSecurityGroup, "
    "ec2:Authorize- and RevokeSecurityGroupIngress, ssm:GetParameter and servicequotas:GetServiceQuota"
)
QUOTA = "Request more vCPUs at https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas"

VERIFICATION = "Wait for AWS's e-mail about the verification, or open a support case"

# Mend by error code. The cause is in the table of refusal codes.
MENDS = {
    "NoCredentials": KEYS,
    "AuthFailure": KEYS,
    "InvalidClientTokenId": KEYS,
    "UnrecognizedClientException": KEYS,
    "SignatureDoesNotMatch": KEYS,
    "ExpiredToken": NEW_KEYS,
    "ExpiredTokenException": NEW_KEYS,
    "RequestExpired": "Log in again, and check the clock of this machine",
    "UnauthorizedOperation": PERMISSIONS,
    "UnauthorizedOperation.Policy": (
        "Leave {region} out of the recipe, or ask the organisation's administrator to allow it"
    ),
    "AuthFailure.ServiceLinkedRoleCreationNotPermitted": (
        "Run `aws iam create-service-linked-role --aws-service-name spot.amazonaws.com` once"
    ),
    "AccessDenied": PERMISSIONS,
    "AccessDeniedException": PERMISSIONS,
    "OperationNotPermitted": "Remove the instance's termination protection in the AWS console",
    "VcpuLimitExceeded": QUOTA,
    "MaxSpotInstanceCountExceeded": QUOTA,
    "MaxFleetCountExceeded": "Request more fleets at https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas",
    "OptInRequired": "Open the account's page in the AWS console, and finish its sign-up",
    "OptInRequired.Marketplace": "Accept the image's terms in the AWS Marketplace, or remove the recipe's image_id",
    "InvalidParameterCombination.FreeTier": "Upgrade the account to the paid plan in the AWS console",
    "PendingVerification": VERIFICATION,
    "PendingVerification.Region": VERIFICATION,
    "DefaultVpcDoesNotExist": "Run `aws ec2 create-default-vpc --region {region}`",
    "VPCIdNotSpecified": "Run `aws ec2 create-default-vpc --region {region}`",
    "MissingInput": "Run `aws ec2 create-default-subnet --availability-zone …` for the zones of {region}",
    "InsufficientFreeAddressesInSubnet": "End other machines in this subnet, or wait",
    "ParameterNotFound": "Set the recipe's image_id (ami-…), or update mixtral-bot",
    "InvalidBlockDeviceMapping.TooSmall": "Increase the recipe's disk_size, or remove it",
    "InvalidAMIID.NotFound": "Name an image of {region} in the recipe's image_id, or leave it out",
    "InvalidAMIID.Malformed": "Correct the recipe's image_id, or leave it out",
}

SAME_AS = {"NoCredentials": "AuthFailure"}

# Errors after which the credentials may have been replaced by newer ones.
OUTDATED = frozenset(
    (
        *("NoCredentials", "AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException"),
        *("SignatureDoesNotMatch", "ExpiredToken", "ExpiredTokenException", "RequestExpired"),
    )
)

# After these errors it is unknown whether a launch had an effect.
UNCERTAIN = frozenset(("InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable"))

WIDEST_FIRST = (Scope.CLOUD, Scope.GPU, Scope.REGION, Scope.BACK_OFF, Scope.BUG, Scope.ZONE)


class AwsError(DriverError):
    """AWS answered a call with an error, with AWS's `code` and `text`."""

    def __init__(self, region: str, code: str, text: str, status: int) -> None:
        super().__init__(_with_mend(f"AWS returned an error in {region}: {code}: {text.rstrip('.')}", code, region))
        self.region = region
        self.code = code
        self.text = text
        self.status = status

    @property
    def uncertain(self) -> bool:
        """Whether the call may have had an effect."""
        return self.code in UNCERTAIN or (self.status >= SERVER_ERROR and self.code not in CODES)


@contextmanager
def translated(region: str) -> Iterator[None]:
    """Translate all errors of boto: to AwsError if AWS answered, otherwise to DriverError."""
    from botocore import exceptions as boto  # noqa: PLC0415 - 0.1 s, too slow for every command

    try:
        yield
    except boto.ClientError as error:
        details = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise AwsError(region, details.get("Code", "Unknown"), details.get("Message", ""), status) from error
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError) as error:
        raise AwsError(region, "NoCredentials", str(error), 401) from error
    except boto.ProfileNotFound as error:
        raise AwsError(region, "NoCredentials", f"{error}. Correct AWS_PROFILE", 401) from error
    except (boto.TokenRetrievalError, boto.UnauthorizedSSOTokenError, boto.SSOTokenLoadError) as error:
        raise AwsError(region, "ExpiredToken", str(error), 401) from error
    except boto.EndpointConnectionError as error:
        raise NoAnswer(
            f"AWS cannot be reached in {region}: {error} Check the network, and AWS_ENDPOINT_URL if it is set."
        ) from error
    except boto.HTTPClientError as error:
        raise NoAnswer(f"The connection to AWS in {region} broke before its answer: {error}") from error
    except (boto.BotoCoreError, ValueError) as error:
        raise DriverError(f"The call to AWS in {region} failed: {error}") from error


def refusal(region: str, code: str, text: str, offers: tuple[Offer, ...]) -> Refusal:
    """The refusal of `offers` for one error, with the mend in its sentence."""
    code = code.removeprefix("Client.").removeprefix("Server.")
    found = classify("aws", SAME_AS.get(code, code), text, offers)
    return replace(found, sentence=_with_mend(found.sentence, found.code, region))


def refused(error: AwsError, offers: tuple[Offer, ...]) -> Refused:
    """A failed call as the refusal of all `offers`."""
    return refused_by((refusal(error.region, error.code, error.text, offers),), offers)


def refused_by(refusals: tuple[Refusal, ...], offers: tuple[Offer, ...]) -> Refused:
    """Several refusals as one error. Offers without a refusal are added to the one with the widest scope."""
    widest = min(refusals, key=lambda one: WIDEST_FIRST.index(one.scope))
    rest = tuple(offer for offer in offers if not any(offer in one.offers for one in refusals))
    if rest:
        refusals = tuple(replace(one, offers=(*one.offers, *rest)) if one is widest else one for one in refusals)
    return Refused(widest.sentence, code=widest.code, scope=widest.scope, refusals=refusals)


def _with_mend(cause: str, code: str, region: str) -> str:
    mend = MENDS.get(code)
    return f"{cause}. {mend.replace('{region}', region)}" if mend else cause
