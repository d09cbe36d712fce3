"""Runs an application on this machine that answers as fast as the highest load step asks: the lab's NGINX."""

import contextlib
import getpass
import subprocess
import tempfile
from collections.abc import Generator
from pathlib import Path

from lab.build.targets import NGINX
from lab.cluster.network import HOST_ADDRESS
from lab.errors import LabError
from lab.waiting import wait_until

PORT = 18080
"""Our choice: no other program of the lab listens there."""

_CONFIGURATION = f"""\
daemon off;
user {getpass.getuser()};
pid nginx.pid;
error_log error.log;
events {{}}
http {{
  client_body_temp_path client_body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  access_log off;
  keepalive_requests 1000000;
  server {{
    listen {HOST_ADDRESS}:{PORT} reuseport;
    return 200;
  }}
}}
"""


@contextlib.contextmanager
def answering() -> Generator[str]:
    """Yields the address, as `host:port`. Each request is answered with 200 and no body.

    Raises:
        LabError: it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="upstream-") as folder:
        Path(folder, "nginx.conf").write_text(_CONFIGURATION)
        process = subprocess.Popen([NGINX.folder / "nginx", "-p", folder, "-c", "nginx.conf", "-e", "error.log"])
        try:
            wait_until(Path(folder, "nginx.pid").exists, "No NGINX answers beside the lab.", seconds=10)
            if process.poll() is not None:
                raise LabError("The NGINX beside the lab ended.")
            yield f"{HOST_ADDRESS}:{PORT}"
        finally:
            process.terminate()
            process.wait()
