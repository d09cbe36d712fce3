"""Names the lab's addresses: all but the host's end are inside the node's own network namespace."""

HOST_ADDRESS = "198.18.53.1"
NODE_ADDRESS = "198.18.53.2"
"""Both are in 198.18.0.0/15, which RFC 2544 keeps for tests: no real host has these addresses."""

PREFIX_LENGTH = 30
HOST_INTERFACE = "nginx-lab"
POD_RANGE = "10.244.0.0/16"
NODE_POD_RANGE = "10.244.0.0/24"
SERVICE_RANGE = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
API_PORT = 6443
REGISTRY_PORT = 5000
NODE_NAME = "lab"
