"""The read-only checks of AWS for `mixtral-bot check`: identity, permissions, quotas, regions, networks."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from workers.clouds.aws.client import AwsClient
from workers.clouds.aws.errors import MENDS, OUTDATED, AwsError
from workers.clouds.driver import DriverError
from workers.clouds.findings import CREDENTIALS, Finding, Need, listed, on_quota
from workers.placement.refusal_codes import classify

ABOUT = "AWS"
IMAGE = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
ALLOWED = "DryRunOperation"
DENIED = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException")
UNKNOWN_QUOTA = "NoSuchResourceException"
T = TypeVar("T")
MEND_NETWORK = "check the network, and AWS_ENDPOINT_URL if it is set"


def questions(environ: Mapping[str, str], needed: Sequence[Need]) -> dict[str, Callable[[], list[Finding]]]:
    """Checks that can run concurrently, by subject. `needed`: the needs of AWS. They do not raise DriverError."""
    api = AwsClient(environ)
    checks: dict[str, Callable[[AwsClient, Sequence[Need]], list[Finding]]] = {
        CREDENTIALS: _identity,
        "permissions": _permissions,
        "regions": _regions,
        "network": _networks,
        "quotas": _quotas,
    }
    return {what: partial(guarded, what, partial(question, api, needed)) for what, question in checks.items()}


def guarded(what: str, question: Callable[[], list[Finding]]) -> list[Finding]:
    """The findings of a check; an error of AWS becomes a finding."""
    try:
        return question()
    except DriverError as error:
        says, mend = _cause_and_mend(error, what)
        # Unusable credentials are a failure; a part that cannot be checked is not.
        if what == CREDENTIALS:
            return [Finding(about=ABOUT, what=what, works=False, says=says, mend=mend)]
        return [Finding(about=ABOUT, what=what, works=None, says=f"could not be checked: {says}", mend=mend)]


def _cause_and_mend(error: DriverError, what: str) -> tuple[str, str]:
    if not isinstance(error, AwsError):
        cause, _, mend = str(error).rstrip(".").rpartition(". ")
        return cause or mend, MEND_NETWORK if "reached" in str(error) else mend if cause else ""
    plain = classify("aws", error.code, error.text, ()).sentence
    says = plain if error.code in plain else f"{plain} ({error.code})"
    if error.code in DENIED:
        return says, f"grant the credentials read access to {what}"
    return says, MENDS.get(error.code, "").replace("{region}", error.region)


def _identity(api: AwsClient, _needed: Sequence[Need]) -> list[Finding]:
    who = api.call("sts", api.home, "get_caller_identity")
    return [Finding(about=ABOUT, what=CREDENTIALS, works=True, says=f"{who['Arn']} in account {who['Account']}")]


def _regions(api: AwsClient, needed: Sequence[Need]) -> list[Finding]:
    """List the instances of each region once: an organisation's policy may deny single regions."""
    wanted = list(dict.fromkeys(need.region for need in needed))
    try:
        enabled = usable(api, needed)
    except AwsError as error:
        if error.code in OUTDATED:
            raise
        enabled = wanted  # the home region alone may be denied
    failures = {r: error for r, error in api.everywhere(enabled, partial(_list_error, api)).items() if error}
    off = [region for region in wanted if region not in enabled]
    finding = partial(Finding, about=ABOUT, what="regions")
    good = len(enabled) - len(failures)
    if not off and not failures:
        return [
            finding(works=True, says=f"all {len(wanted)} regions of the price table are enabled and list instances")
        ]
    others = listed([*off, *failures], "others")
    says = f"{good} of the {len(wanted)} in the price table are enabled and list instances, not {others}"
    mend = "enable more under Account, AWS Regions, in the AWS console"
    whole = finding(works=True, says=says) if good else finding(works=False, says=says, mend=mend)
    return [whole, *(_unlisted(region, error) for region, error in failures.items())]


def _list_error(api: AwsClient, region: str) -> DriverError | None:
    """Why a region does not list its instances; None if it does."""
    try:
        api.call("ec2", region, "describe_instances", MaxResults=5)
    except DriverError as error:
        return error
    return None


def _unlisted(region: str, error: DriverError) -> Finding:
    says, mend = _cause_and_mend(error, region)
    text = f" ({error.text.rstrip('.')})" if isinstance(error, AwsError) and error.text else ""
    return Finding(about=ABOUT, what="regions", works=None, says=f"{region} cannot be listed: {says}{text}", mend=mend)


def usable(api: AwsClient, needed: Sequence[Need]) -> list[str]:
    """The regions of `needed` that the account has enabled. Raises AwsError, DriverError."""
    enabled = api.regions()
    return [region for region in dict.fromkeys(need.region for need in needed) if region in enabled]


def _networks(api: AwsClient, needed: Sequence[Need]) -> list[Finding]:
    regions = usable(api, needed)
    default = [{"Name": "is-default", "Values": ["true"]}]
    found, unknown = _answered(
        api, regions, lambda region: api.call("ec2", region, "describe_vpcs", Filters=default)["Vpcs"]
    )
    rest = f"; unknown in {listed(unknown, 'regions')}" if unknown else ""
    missing = [region for region in found if not found[region]]
    finding = partial(Finding, about=ABOUT, what="network")
    if not missing:
        return [finding(works=True, says=f"a default VPC in {listed(list(found), 'regions')}{rest}")]
    mend = f"run `aws ec2 create-default-vpc --region {missing[0]}`"
    says = f"no default VPC in {', '.join(missing)}{rest}"
    return [finding(works=len(missing) < len(found), says=says, mend=mend)]


def asked(question: Callable[[str], T], name: str) -> T | DriverError:
    """The answer of one region, or its error, so that the other regions are still reported."""
    try:
        return question(name)
    except DriverError as error:
        return error


def _answered(
    api: AwsClient, names: Iterable[str], question: Callable[[str], T]
) -> tuple[dict[str, T], tuple[str, ...]]:
    """The answers by name, and the names without one. Raises the first error if there is no answer."""
    answers = api.everywhere(names, partial(asked, question))
    errors = {name: answer for name, answer in answers.items() if isinstance(answer, DriverError)}
    if errors and len(errors) == len(answers):
        raise next(iter(errors.values()))
    return {name: answer for name, answer in answers.items() if not isinstance(answer, DriverError)}, tuple(errors)


def _quotas(api: AwsClient, needed: Sequence[Need]) -> list[Finding]:
    enabled = usable(api, needed)
    needs = {f"{n.region} {n.quota}": n for n in needed if n.region in enabled and n.quota}

    def limit(name: str) -> float | None:
        need = needs[name]
        try:
            found = api.call(
                "service-quotas", need.region, "get_service_quota", ServiceCode="ec2", QuotaCode=need.quota
            )
        except AwsError as error:
            if error.code == UNKNOWN_QUOTA:
                return None
            raise
        return float(found["Quota"]["Value"])

    found, _ = _answered(api, needs, limit)
    return [_on_quota(code, needs, found) for code in dict.fromkeys(n.quota for n in needs.values())]


def _on_quota(code: str, needs: Mapping[str, Need], found: Mapping[str, float | None]) -> Finding:
    needed = [need for need in needs.values() if need.quota == code]
    limits = {n.region: at for name, n in needs.items() if n.quota == code and (at := found.get(name)) is not None}
    page = f"https://{needed[0].region}.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/{code}"
    return on_quota(ABOUT, "vCPUs", needed, limits, f"request {needed[0].amount} or more at {page}")


def _permissions(api: AwsClient, needed: Sequence[Need]) -> list[Finding]:
    """Make the calls of a launch as dry runs: EC2 answers whether each would be allowed."""
    region = next(iter(usable(api, needed)), api.home)
    type_ = next((need.instance_type for need in needed if need.region == region), "g5.xlarge")
    answers = {action: _dry_run(call) for action, call in _launch(api, region, type_)}
    finding = partial(Finding, about=ABOUT, what="permissions")
    unknown = [action for action, allowed in answers.items() if allowed is None]
    rest = f"; unknown for {', '.join(unknown)}" if unknown else ""
    if denied := [action for action, allowed in answers.items() if allowed is False]:
        mend = f"attach a policy that allows {', '.join(denied)}"
        return [finding(works=False, says=f"not allowed in {region}: {', '.join(denied)}{rest}", mend=mend)]
    allowed = sum(granted is True for granted in answers.values())
    says = f"{allowed} of {len(answers)} calls of a launch are allowed, by dry runs in {region}{rest}"
    return [finding(works=True if allowed else None, says=says)]


def _launch(api: AwsClient, region: str, type_: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """The calls of a launch by permission, all without effect."""
    name = "mixtral-check"
    rule = {"IpProtocol": "tcp", "FromPort": 8000, "ToPort": 8000, "IpRanges": [{"CidrIp": "192.0.2.0/32"}]}
    template = {"LaunchTemplateSpecification": {"LaunchTemplateName": name, "Version": "$Default"}}
    target = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"}
    image = partial(api.call, "ssm", region, "get_parameter", Name=IMAGE)

    def dry(action: str, **fields: Any) -> Callable[[], object]:
        return partial(api.call, "ec2", region, action, DryRun=True, **fields)

    def run() -> object:
        return dry("run_instances", ImageId=image()["Parameter"]["Value"], InstanceType=type_, MinCount=1, MaxCount=1)()

    yield "ssm:GetParameter", image
    yield "ec2:DescribeInstances", dry("describe_instances")
    yield "ec2:DescribeSubnets", dry("describe_subnets")
    yield "ec2:CreateSecurityGroup", dry("create_security_group", GroupName=name, Description=name)
    yield (
        "ec2:AuthorizeSecurityGroupIngress",
        partial(_unless_denied, dry("authorize_security_group_ingress", GroupName="default", IpPermissions=[rule])),
    )
    yield (
        "ec2:CreateLaunchTemplate",
        dry("create_launch_template", LaunchTemplateName=name, LaunchTemplateData={"InstanceType": type_}),
    )
    yield "ec2:RunInstances", run
    yield (
        "ec2:CreateFleet",
        dry("create_fleet", Type="instant", TargetCapacitySpecification=target, LaunchTemplateConfigs=[template]),
    )


def _unless_denied(call: Callable[[], object]) -> object:
    """A call about the group `default`: a policy may allow it for mixtral-bot's own groups alone. Raises AwsError."""
    try:
        return call()
    except AwsError as error:
        if error.code in DENIED:
            raise AwsError(error.region, "OtherGroup", error.text, error.status) from error
        raise


def _dry_run(call: Callable[[], object]) -> bool | None:
    """Whether the call is allowed; None if unknown, for example if AWS checks the arguments first."""
    try:
        call()
    except AwsError as error:
        return True if error.code == ALLOWED else False if error.code in DENIED else None
    return True
