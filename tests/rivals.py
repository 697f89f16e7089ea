"""Figures of other software. They are constants: each was measured once, and `make bench` does not measure it again."""

SKYPILOT_OPTIMIZER = 1.7
"""Seconds for Mixtral's five candidates over AWS and GCP, warm."""

SKYSERVE_SHARE = 0.004
"""Requests per second through SkyServe's balancer, as a share of the direct ones."""

SKYSERVE_CPU, ENVOY_CPU = 4846, 176
"""Microseconds of CPU per request."""

SKYSERVE_FIRST_TOKEN = 939
"""Additional milliseconds to the first token, median."""

SKYSERVE_SAVING = 43
"""Percent below the price of on demand."""

MARK = "†"

SOURCES = f"""\
{MARK} A constant, not measured by this bench. Launch calls and planning: SkyPilot 0.14.1, one run, EC2 stand-in on
loopback. Balancers: one run on one machine with two or three upstreams (docs/gateway.md, Measurements). Saving of
spot: SkyServe's paper (arXiv 2411.01438). They come from other machines: compare orders of magnitude only."""


def constant(said: str) -> str:
    """A reference that is not measured, marked."""
    return f"{said} {MARK}"
