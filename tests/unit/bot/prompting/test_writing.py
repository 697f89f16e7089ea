"""What is kept of the deployments that were asked."""

import threading

import httpx

from bot.prompting import writing
from bot.prompting.cancelling import Cancelling
from bot.prompting.engine import EngineEndpoint
from bot.prompting.writing import Writing
from workers.deployment.events import DeploymentId

ENDPOINT = EngineEndpoint(name="fast", url="http://127.0.0.1:1", key="mxk_key")


def test_not_more_than_the_newest_deployments_are_remembered(monkeypatch):
    monkeypatch.setattr(writing, "REMEMBERED", 10)
    asked = []

    def models(request):
        asked.append(request.url.path)
        return httpx.Response(200, json={"data": [{"id": "m", "max_model_len": 4096}]})

    with httpx.Client(transport=httpx.MockTransport(models)) as http:
        it = Writing(http, threading.Event())
        for number in range(25):
            id_ = DeploymentId(f"d{number}")
            for _ in range(3):
                assert it._model(id_, ENDPOINT, Cancelling()).name == "m"
            it._without_system_role.add(id_)
            it._images[id_] = 0
    assert len(asked) == 25
    assert len(it._models) == len(it._images) == len(it._without_system_role) == 5
