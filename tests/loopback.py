"""HTTP calls to servers on this machine. Loading the certificate authorities, as httpx does, takes 25 ms a call."""

from functools import partial

import httpx

from tests.patience import PATIENCE

WITHIN = 5 * PATIENCE
"""Seconds in which a server answers: httpx's own five are few where other processes compute."""

get = partial(httpx.get, verify=False, timeout=WITHIN)
post = partial(httpx.post, verify=False, timeout=WITHIN)
delete = partial(httpx.delete, verify=False, timeout=WITHIN)
