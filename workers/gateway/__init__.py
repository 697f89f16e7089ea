"""One public address for all deployments: HAProxy, driven live."""
