"""What AWS's errors become at the driver's border: DriverError, or Refused with cause and mend."""

from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from workers.clouds.driver import DriverError, Refused
from workers.placement.offer import Offer
from workers.placement.refusal_codes import AWS as CODES
from workers.placement.refusal_codes import classify
from workers.placement.refusals import Refusal, Scope

SERVER_ERROR = 500

KEYS = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run `aws configure`"
NEW_KEYS = (
    "Log in again (`aws sso login`), or set a fresh AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
)
RIGHTS = (
    "Allow them ec2:CreateFleet, ec2:RunInstances, ec2:TerminateInstances, ec2:CreateTags, ec2:Describe*, "
    "ec2:GetConsoleOutput, ec2:Create- and DeleteLaunchTemplate, ec2:CreateSecurityGroup, "
    "ec2:Authorize- and RevokeSecurityGroupIngress, ssm:GetParameter and servicequotas:GetServiceQuota"
)
QUOTA = "Ask for more vCPUs at https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas"

# Cause and mend by code; where there is no cause, the one of the table of refusals.
MENDS = {
    "NoCredentials": KEYS,
    "AuthFailure": KEYS,
    "InvalidClientTokenId": KEYS,
    "UnrecognizedClientException": KEYS,
    "SignatureDoesNotMatch": KEYS,
    "ExpiredToken": NEW_KEYS,
    "ExpiredTokenException": NEW_KEYS,
    "RequestExpired": "Log in again, and check that this machine's clock is right",
    "UnauthorizedOperation": RIGHTS,
    "AccessDenied": RIGHTS,
    "AccessDeniedException": RIGHTS,
    "VcpuLimitExceeded": QUOTA,
    "MaxSpotInstanceCountExceeded": QUOTA,
    "OptInRequired": "Open the account's page in the AWS console, and finish its sign-up",
    "PendingVerification": "Wait for AWS's mail that the account is verified, or open a case with its support",
    "DefaultVpcDoesNotExist": "Run `aws ec2 create-default-vpc --region {region}`",
    "InvalidAMIID.NotFound": "Name an image of {region} in the recipe's image_id, or leave it out",
    "InvalidAMIID.Malformed": "Correct the recipe's image_id, or leave it out",
}

SAME_AS = {"NoCredentials": "AuthFailure", "Client.InvalidClientTokenId": "InvalidClientTokenId"}

# The effect of a launch that ends so is unknown.
UNCERTAIN = frozenset(("InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable"))

WIDEST_FIRST = (Scope.CLOUD, Scope.GPU, Scope.REGION, Scope.BACK_OFF, Scope.BUG, Scope.ZONE)


class AwsSaid(DriverError):
    """AWS answered a call with an error: `code` as in its own tables, `text` in its own words."""

    def __init__(self, region: str, code: str, text: str, status: int) -> None:
        super().__init__(_with_mend(f"AWS said in {region}: {code}: {text.rstrip('.')}", code, region))
        self.region = region
        self.code = code
        self.text = text
        self.status = status

    @property
    def uncertain(self) -> bool:
        """Whether a call with an effect may have had it all the same."""
        return self.code in UNCERTAIN or (self.status >= SERVER_ERROR and self.code not in CODES)


@contextmanager
def translated(region: str) -> Iterator[None]:
    """Nothing of boto's passes. Raises AwsSaid where AWS answered, DriverError where it did not."""
    from botocore import exceptions as boto  # noqa: PLC0415 - 0.1 s, which the command line does not have

    try:
        yield
    except boto.ClientError as error:
        said = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        raise AwsSaid(region, said.get("Code", "Unknown"), said.get("Message", ""), status) from error
    except (boto.NoCredentialsError, boto.PartialCredentialsError, boto.CredentialRetrievalError) as error:
        raise AwsSaid(region, "NoCredentials", str(error), 401) from error
    except boto.ProfileNotFound as error:
        raise AwsSaid(region, "NoCredentials", f"{error}. AWS_PROFILE names it", 401) from error
    except (boto.TokenRetrievalError, boto.UnauthorizedSSOTokenError, boto.SSOTokenLoadError) as error:
        raise AwsSaid(region, "ExpiredToken", str(error), 401) from error
    except boto.EndpointConnectionError as error:
        raise DriverError(
            f"AWS cannot be reached in {region}: {error} Check the network, and AWS_ENDPOINT_URL if it is set."
        ) from error
    except boto.HTTPClientError as error:
        raise DriverError(f"The connection to AWS in {region} broke before its answer: {error}") from error
    except (boto.BotoCoreError, ValueError) as error:
        raise DriverError(f"AWS could not be asked in {region}: {error}") from error


def refusal(region: str, code: str, text: str, offers: tuple[Offer, ...]) -> Refusal:
    """What one error says of `offers`, with the mend."""
    code = SAME_AS.get(code, code)
    found = classify("aws", code, text, offers)
    return replace(found, sentence=_with_mend(found.sentence, code, region))


def refused(said: AwsSaid, offers: tuple[Offer, ...]) -> Refused:
    """A whole call's error as the refusal that it is of all of `offers`."""
    return refused_by((refusal(said.region, said.code, said.text, offers),), offers)


def refused_by(refusals: tuple[Refusal, ...], offers: tuple[Offer, ...]) -> Refused:
    """Several refusals as one. An offer that none of them names was not to be had either."""
    worst = min(refusals, key=lambda one: WIDEST_FIRST.index(one.scope))
    unsaid = tuple(offer for offer in offers if not any(offer in one.offers for one in refusals))
    if unsaid:
        refusals = tuple(replace(one, offers=(*one.offers, *unsaid)) if one is worst else one for one in refusals)
    return Refused(worst.sentence, code=worst.code, scope=worst.scope, refusals=refusals)


def _with_mend(cause: str, code: str, region: str) -> str:
    mend = MENDS.get(code)
    return f"{cause}. {mend.replace('{region}', region)}" if mend else cause
