"""The gateway: one address for all deployments, served by HAProxy and changed without restarts."""
