"""What `mixtral-bot check` asks AWS: who we are, what a launch may do, quotas, regions, networks. Changes nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from workers.clouds.aws.client import AwsClient
from workers.clouds.aws.errors import MENDS, AwsSaid
from workers.clouds.driver import DriverError
from workers.clouds.findings import CREDENTIALS, Finding, Need, listed, on_quota
from workers.placement.refusal_codes import classify

ABOUT = "AWS"
IMAGE = "/aws/service/deeplearning/ami/x86_64/base-oss-nvidia-driver-gpu-ubuntu-22.04/latest/ami-id"
ALLOWED = "DryRunOperation"
DENIED = ("UnauthorizedOperation", "AccessDenied", "AccessDeniedException")
UNKNOWN_QUOTA = "NoSuchResourceException"
MEND_NETWORK = "check the network, and AWS_ENDPOINT_URL if it is set"


def questions(environ: Mapping[str, str], needed: Sequence[Need]) -> dict[str, Callable[[], list[Finding]]]:
    """What can be asked at once, by what it is about; `needed` are the needs of this cloud. Raises nothing of AWS's."""
    api = AwsClient(environ)
    asked: dict[str, Callable[[AwsClient, Sequence[Need]], list[Finding]]] = {
        CREDENTIALS: _identity,
        "permissions": _permissions,
        "regions": _regions,
        "network": _networks,
        "quotas": _quotas,
    }
    return {what: partial(_guarded, what, partial(question, api, needed)) for what, question in asked.items()}


def _guarded(what: str, question: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return question()
    except DriverError as error:
        says, mend = _told(error, what)
        # A part that cannot be looked at does no harm by itself; credentials that cannot be used do.
        if what == CREDENTIALS:
            return [Finding(about=ABOUT, what=what, works=False, says=says, mend=mend)]
        return [Finding(about=ABOUT, what=what, works=None, says=f"could not be looked at: {says}", mend=mend)]


def _told(error: DriverError, what: str) -> tuple[str, str]:
    """Cause and mend."""
    if not isinstance(error, AwsSaid):
        cause, _, mend = str(error).rstrip(".").rpartition(". ")
        return cause or mend, MEND_NETWORK if "reached" in str(error) else mend if cause else ""
    plain = classify("aws", error.code, error.text, ()).sentence
    says = plain if error.code in plain else f"{plain} ({error.code})"
    if error.code in DENIED:
        return says, f"allow it to look at its {what}"
    return says, MENDS.get(error.code, "").replace("{region}", error.region)


def _identity(api: AwsClient, _needed: Sequence[Need]) -> list[Finding]:
    who = api.call("sts", api.home, "get_caller_identity")
    return [Finding(about=ABOUT, what=CREDENTIALS, works=True, says=f"{who['Arn']} in account {who['Account']}")]


def _regions(api: AwsClient, needed: Sequence[Need]) -> list[Finding]:
    wanted = list(dict.fromkeys(need.region for need in needed))
    usable = _usable(api, needed)
    off = [region for region in wanted if region not in usable]
    said = partial(Finding, about=ABOUT, what="regions")
    if not off:
        return [said(works=True, says=f"all {len(wanted)} of the price table are enabled")]
    says = f"{len(usable)} of the {len(wanted)} in the price table are enabled, not {listed(off, 'others')}"
    mend = "enable more under Account, AWS Regions, in the AWS console"
    return [said(works=True, says=says) if usable else said(works=False, says=says, mend=mend)]


def _usable(api: AwsClient, needed: Sequence[Need]) -> list[str]:
    enabled = api.regions()
    return [region for region in dict.fromkeys(need.region for need in needed) if region in enabled]


def _networks(api: AwsClient, needed: Sequence[Need]) -> list[Finding]:
    regions = _usable(api, needed)
    default = [{"Name": "is-default", "Values": ["true"]}]
    found = api.everywhere(regions, lambda region: api.call("ec2", region, "describe_vpcs", Filters=default)["Vpcs"])
    missing = [region for region in regions if not found[region]]
    said = partial(Finding, about=ABOUT, what="network")
    if not missing:
        return [said(works=True, says=f"a default VPC in {listed(regions, 'regions')}")]
    mend = f"run `aws ec2 create-default-vpc --region {missing[0]}`"
    return [said(works=len(missing) < len(regions), says=f"no default VPC in {', '.join(missing)}", mend=mend)]


def _quotas(api: AwsClient, needed: Sequence[Need]) -> list[Finding]:
    enabled = _usable(api, needed)
    asked = {f"{n.region} {n.quota}": n for n in needed if n.region in enabled and n.quota}

    def limit(name: str) -> float | None:
        need = asked[name]
        try:
            found = api.call(
                "service-quotas", need.region, "get_service_quota", ServiceCode="ec2", QuotaCode=need.quota
            )
        except AwsSaid as said:
            if said.code == UNKNOWN_QUOTA:
                return None
            raise
        return float(found["Quota"]["Value"])

    told = api.everywhere(asked, limit)
    return [_on_quota(code, asked, told) for code in dict.fromkeys(n.quota for n in asked.values())]


def _on_quota(code: str, asked: Mapping[str, Need], told: Mapping[str, float | None]) -> Finding:
    needed = [need for need in asked.values() if need.quota == code]
    limits = {n.region: at for name, n in asked.items() if n.quota == code and (at := told[name]) is not None}
    page = f"https://{needed[0].region}.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/{code}"
    return on_quota(ABOUT, "vCPUs", needed, limits, f"ask for {needed[0].amount} or more at {page}")


def _permissions(api: AwsClient, needed: Sequence[Need]) -> list[Finding]:
    """Try what a launch does, each as a dry run: EC2 then answers whether it would be allowed."""
    region = next(iter(_usable(api, needed)), api.home)
    type_ = next((need.instance_type for need in needed if need.region == region), "g5.xlarge")
    answers = {action: _dry_run(call) for action, call in _launch(api, region, type_)}
    said = partial(Finding, about=ABOUT, what="permissions")
    untold = [action for action, allowed in answers.items() if allowed is None]
    rest = f"; AWS does not tell of {', '.join(untold)}" if untold else ""
    if denied := [action for action, allowed in answers.items() if allowed is False]:
        mend = f"attach a policy that allows {', '.join(denied)}"
        return [said(works=False, says=f"not allowed in {region}: {', '.join(denied)}{rest}", mend=mend)]
    allowed = sum(granted is True for granted in answers.values())
    says = f"{allowed} of {len(answers)} calls of a launch are allowed, as dry runs in {region} say{rest}"
    return [said(works=True if allowed else None, says=says)]


def _launch(api: AwsClient, region: str, type_: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """The calls of a launch, none of which has an effect."""
    name = "mixtral-check"
    rule = {"IpProtocol": "tcp", "FromPort": 8000, "ToPort": 8000, "IpRanges": [{"CidrIp": "192.0.2.0/32"}]}
    template = {"LaunchTemplateSpecification": {"LaunchTemplateName": name, "Version": "$Default"}}
    target = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "on-demand"}
    image = partial(api.call, "ssm", region, "get_parameter", Name=IMAGE)

    def dry(action: str, **asked: Any) -> Callable[[], object]:
        return partial(api.call, "ec2", region, action, DryRun=True, **asked)

    def run() -> object:
        return dry("run_instances", ImageId=image()["Parameter"]["Value"], InstanceType=type_, MinCount=1, MaxCount=1)()

    yield "ssm:GetParameter", image
    yield "ec2:DescribeInstances", dry("describe_instances")
    yield "ec2:DescribeSubnets", dry("describe_subnets")
    yield "ec2:CreateSecurityGroup", dry("create_security_group", GroupName=name, Description=name)
    yield (
        "ec2:AuthorizeSecurityGroupIngress",
        dry("authorize_security_group_ingress", GroupName="default", IpPermissions=[rule]),
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


def _dry_run(call: Callable[[], object]) -> bool | None:
    """None where the answer says neither yes nor no, as where AWS looks at the arguments first."""
    try:
        call()
    except AwsSaid as said:
        return True if said.code == ALLOWED else False if said.code in DENIED else None
    return True
