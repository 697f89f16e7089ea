"""How soon a key is live at many deployments: from the append to the first answer that is not 401."""

import http.client
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from redis import Redis
from rich.console import Console
from rich.table import Table as Printed

from tests.builders.logs import append
from tests.builders.offers import offer
from tests.builders.story import Story
from tests.gateway_bench import answering, running
from workers.deployment.events import KeyId, KeyIssued, KeyRevoked
from workers.deployment.keys import new_key
from workers.deployment.log import Log, new_id, stamp
from workers.processes import Child
from workers.sandbox.valkey import free_port, start

DEPLOYMENTS = (50, 1000)
REPLICAS = 3
ROUNDS = 15
LIMIT = 100
"""Milliseconds."""


def main():
    table = Printed("what", "measured", "reference", box=None, title="the gateway's table", title_justify="left")
    for row in rows():
        table.add_row(*row)
    Console().print(table)
