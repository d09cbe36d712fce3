"""The project's tests: units, the lab's NGINX module, the whole stack on the lab."""
