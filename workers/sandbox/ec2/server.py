"""A stand-in for AWS's EC2 on moto: `python -m workers.sandbox.ec2.server --port N --folder DIR`; nothing is billed.

Set AWS_ENDPOINT_URL to its address. It serves EC2, and the calls of SSM, Service Quotas, STS and the price list that
the product makes.
Further routes, for tests and the demo:

- `POST /sandbox/faults` adds a fault, the fields of `faults.Fault` as JSON; `DELETE /sandbox/faults` removes all
- `POST /sandbox/quotas` `{"code": "L-417A185B", "limit": 0, "region": "us-*"}`, in vCPUs
- `GET /sandbox/calls` `{"calls": [{"service", "action", "region"}]}`, in order, launches with their "types" too;
  `DELETE /sandbox/calls` empties the list
- `POST /sandbox/instances/<id, or a tag's value>/preempt`, `/delete` or `/die`
"""

import itertools
import json
import re
import socket
import time
from typing import Any
from xml.sax.saxutils import escape

import msgspec
from moto.core.request import Request
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Response

from workers.sandbox.ec2.actions import Actions
from workers.sandbox.ec2.catalog import Catalog
from workers.sandbox.ec2.cloud import Cloud
from workers.sandbox.ec2.faults import OF_A_CALL, OF_AN_OFFER, Fault
from workers.sandbox.ec2.price_list import products
from workers.sandbox.stand_in import Clock, Machines, main, utc_now

SIGNED = re.compile(r"Credential=(?P<key>[^/]+)/\d+/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request")
IMAGES = "/aws/service/deeplearning/ami/"
FATES = {"preempt": "preempt", "delete": "delete", "die": "shut down"}

# Each server in a process has its own account, because moto's state is global.
ACCOUNTS = itertools.count(100_000_000_001)


class Ec2:
    """The WSGI application."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._actions: type[Actions] = type("BoundActions", (Actions,), {"cloud": cloud})

    def __call__(self, environ: Any, start_response: Any) -> Any:
        request = Request(environ)
        request.from_wsgi_server = True
        answer = self._sandbox if request.path.startswith("/sandbox/") else self._aws
        return answer(request)(environ, start_response)

    def _aws(self, request: Request) -> Response:
        signed = SIGNED.search(request.headers.get("Authorization", ""))
        if signed is None:
            return _refused("ec2", "MissingAuthenticationToken", "Request is missing Authentication Token", 403)
        service, region = signed["service"], signed["region"]
        action = request.headers.get("X-Amz-Target", "").rpartition(".")[2] or request.form.get("Action", "")
        with self.cloud.lock:
            self.cloud.calls.append({"service": service, "action": action, "region": region, **_types(request)})
            slow = self.cloud.faults.silent("slow", action, region=region)
            page = request.form.get("NextToken", "")
            fault = self.cloud.faults.take(OF_A_CALL, action, region=region, key=signed["key"], page=page)
        if slow:
            time.sleep(slow.seconds)
        if fault:
            status, words = OF_A_CALL[fault.code]
            return _refused(service, fault.code, fault.message or words, status)
        with self.cloud.lock:
            answer = self._answered(service, action, region, request)
            if self.cloud.faults.silent("lost", action, region=region):
                request.environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        return answer

    def _answered(self, service: str, action: str, region: str, request: Request) -> Response:
        match service:
            case "ec2":
                return self._ec2(request)
            case "ssm" if action == "GetParameter":
                return self._parameter(json.loads(request.get_data()).get("Name", ""), region)
            case "pricing" if action == "GetProducts":
                return _json(products(self.cloud.catalog, json.loads(request.get_data())))
            case "servicequotas" if action == "GetServiceQuota":
                return self._quota(json.loads(request.get_data()), region)
            case "sts" if action == "GetCallerIdentity":
                arn = f"arn:aws:iam::{self.cloud.account}:user/sandbox"
                inner = f"<Arn>{arn}</Arn><UserId>AIDASANDBOX</UserId><Account>{self.cloud.account}</Account>"
                answer = f"<{action}Response><{action}Result>{inner}</{action}Result></{action}Response>"
                return Response(answer, content_type="text/xml")
        return _refused(service, "InvalidAction", f"The stand-in has no {service}:{action}.", 400)

    def _ec2(self, request: Request) -> Response:
        request.environ["HTTP_X_MOTO_ACCOUNT_ID"] = self.cloud.account
        try:
            status, headers, body = self._actions.dispatch(request)
        except NotImplementedError as error:
            return _refused("ec2", "InvalidAction", str(error), 400)
        code = re.search(r"<Code>([^<]+)</Code>", body) if int(status) >= 400 else None  # noqa: PLR2004 - HTTP
        if code and code[1] in OF_AN_OFFER:
            status = OF_AN_OFFER[code[1]][0]
        kept = {key: value for key, value in headers.items() if key.lower() not in ("status", "content-length")}
        return Response(body, int(status), kept)

    def _quota(self, query: Any, region: str) -> Response:
        code = query.get("QuotaCode", "")
        if query.get("ServiceCode") != "ec2" or not code.startswith("L-"):
            return _refused("servicequotas", "NoSuchResourceException", "There is no such quota.", 400)
        quota = {"ServiceCode": "ec2", "QuotaCode": code, "Value": self.cloud.quota(code, region), "Unit": "None"}
        return _json({"Quota": quota})

    def _parameter(self, name: str, region: str) -> Response:
        if not name.startswith(IMAGES):
            return _refused("ssm", "ParameterNotFound", "", 400)
        image = f"ami-{_number_of(name + region):017x}"
        self.cloud.images.add(image)
        return _json({"Parameter": {"Name": name, "Type": "String", "Value": image, "Version": 1}})

    def _sandbox(self, request: Request) -> Response:
        what = (request.method, *request.path.strip("/").split("/")[1:])
        body = request.get_data()
        try:
            with self.cloud.lock:
                match what:
                    case ("POST", "faults"):
                        self.cloud.faults.add(msgspec.json.decode(body, type=Fault))
                    case ("DELETE", "faults"):
                        self.cloud.faults.clear()
                    case ("POST", "quotas"):
                        self.cloud.set_quota(**json.loads(body))
                    case ("GET", "calls"):
                        return _json({"calls": self.cloud.calls})
                    case ("DELETE", "calls"):
                        self.cloud.calls.clear()
                    case ("POST", "instances", word, fate) if (found := self.cloud.lives.named(word)) and fate in FATES:
                        self.cloud.lives.end(found, FATES[fate])
                    case _:
                        return _json({"message": f"There is no {request.method} {request.path}."}, 404)
        except (msgspec.MsgspecError, ValueError, TypeError) as error:
            return _json({"message": str(error)}, 400)
        return _json({})


def _types(request: Request) -> dict[str, str]:
    """The machine types that a launch accepts, as the entry `types`; empty for other calls."""
    types = sorted({value for name, value in request.form.items() if name.endswith(".InstanceType")})
    return {"types": " ".join(types)} if types else {}


def _json(body: object, status: int = 200) -> Response:
    return Response(json.dumps(body), status, content_type="application/x-amz-json-1.1")


def _refused(service: str, code: str, message: str, status: int) -> Response:
    if service in ("ssm", "servicequotas", "pricing"):
        return _json({"__type": code, "message": message}, status)
    inner = f"<Errors><Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error></Errors>"
    if service == "sts":
        inner = f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>"
    return Response(f"<Response>{inner}<RequestID>0</RequestID></Response>", status, content_type="text/xml")


def _number_of(text: str) -> int:
    """A number of at most 64 bits that depends only on the text."""
    return int.from_bytes(text.encode(), "big") % (2**64 - 59)


class Handler(WSGIRequestHandler):
    """Keeps connections open, as AWS does, and does not log requests."""

    protocol_version = "HTTP/1.1"

    def log_request(self, *_args: Any) -> None:
        pass

    def connection_dropped(self, *_args: Any) -> None:
        pass


class Server(ThreadedWSGIServer):
    """Listens on loopback only."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self, port: int, machines: Machines, catalog: Catalog | None = None, *, clock: Clock = utc_now
    ) -> None:
        self.cloud = Cloud(machines, catalog or Catalog(), str(next(ACCOUNTS)), clock)
        super().__init__("127.0.0.1", port, Ec2(self.cloud), handler=Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def server_close(self) -> None:
        super().server_close()
        self.cloud.lives.close()


if __name__ == "__main__":
    main("EC2", Server)
