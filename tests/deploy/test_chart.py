"""deploy/ and the chart of Zero to JupyterHub: what the cluster would be told. Nothing is sent to any cluster.

    python -m venv /tmp/deploy && /tmp/deploy/bin/pip install -r tests/deploy/requirements.txt
    helm pull jupyterhub --repo https://hub.jupyter.org/helm-chart/ --version VERSION --untar     # VERSION: see deploy/install
    CHART=jupyterhub /tmp/deploy/bin/python -m pytest -c /dev/null --rootdir=. tests/deploy/test_chart.py
"""

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
CHART = os.environ.get("CHART")
if not CHART:
    pytest.skip("CHART does not name the folder of the chart: see this file", allow_module_level=True)
helm = pytest.importorskip("helm_python", reason="the chart is rendered with helm-python-sdk: tests/deploy/requirements.txt")
kubespawner = pytest.importorskip("kubespawner", reason="servers are KubeSpawner's: tests/deploy/requirements.txt")
validate = pytest.importorskip("kubernetes_validate", reason="it has the schemas of Kubernetes: tests/deploy/requirements.txt")

VERSION = re.search(r"^CHART=(\S+)", (DEPLOY / "install").read_text(), re.MULTILINE)[1]
KUBERNETES = "1.32"
SIZES = {"300": [], "1000": ["values-1000.yaml"]}


def merge(*many):
    """Merge dicts as helm does: a later one goes first, and dicts in them are merged too."""
    merged = {}
    for one in many:
        for name, value in one.items():
            both = isinstance(value, dict) and isinstance(merged.get(name), dict)
            merged[name] = merge(merged[name], value) if both else value
    return merged


@pytest.fixture(scope="module")
def chart(tmp_path_factory):
    """The chart as it is published: in its repository, the version is not in it yet, and the schema is YAML."""
    folder = tmp_path_factory.mktemp("chart") / "jupyterhub"
    shutil.copytree(CHART, folder)
    for name in ("Chart.yaml", "values.yaml"):
        text = (folder / name).read_text().replace("0.0.1-set.by.chartpress", VERSION).replace("set-by-chartpress", VERSION)
        (folder / name).write_text(text)
    if not (folder / "values.schema.json").exists():
        schema = yaml.safe_load((folder / "values.schema.yaml").read_text())
        (folder / "values.schema.json").write_text(json.dumps(schema))
    assert yaml.safe_load((folder / "Chart.yaml").read_text())["version"] == VERSION
    return folder


@pytest.fixture(scope="module", params=SIZES)
def values(request):
    files = ["values.yaml", *SIZES[request.param], "my-class.example.yaml", "secret.example.yaml"]
    votes = {"hub": {"extraFiles": {"votes": {"stringData": "print('votes')"}}}}
    return merge(*(yaml.safe_load((DEPLOY / file).read_text()) for file in files), votes)


@pytest.fixture(scope="module")
def rendered(chart, values):
    """All objects that the chart makes of our values, by (kind, name)."""
    loaded = helm.Chart.load(str(chart))
    loaded.validate_schema(values)
    objects = {}
    for template, text in loaded.render(values, name="class", namespace="class").items():
        for one in yaml.safe_load_all(text) if template.endswith(".yaml") else []:
            if one:
                objects[one["kind"], one["metadata"]["name"]] = one
    return objects


@pytest.fixture(scope="module")
def config(chart, values, rendered):
    """The settings of the hub, as the chart's own jupyterhub_config.py makes them of our values."""
    from tornado.httpclient import AsyncHTTPClient
    from traitlets.config import Config
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(str(chart / "files/hub"))
    patch.syspath_prepend(str(ROOT / "classroom"))      # what extraFiles puts into the hub
    patch.delitem(sys.modules, "z2jh", raising=False)
    import z2jh
    all_values = merge(yaml.safe_load((chart / "values.yaml").read_text()), values,
                       {"Chart": {"Name": "jupyterhub", "Version": VERSION}, "Release": {"Name": "class"}})
    names = rendered["ConfigMap", "hub"]["data"]
    patch.setattr(z2jh, "_load_config", lambda: all_values)
    patch.setattr(z2jh, "_get_config_value", names.__getitem__)
    patch.setattr(z2jh, "get_secret_value", lambda key, default="": default or "0" * 64)
    patch.setattr(AsyncHTTPClient, "configure", lambda *_: None)        # pycurl is in the image of the hub only
    for name in ("PROXY_API_SERVICE_PORT", "HUB_SERVICE_PORT"):
        patch.setenv(name, "8001")
    c = Config()
    try:
        path = chart / "files/hub/jupyterhub_config.py"
        exec(compile(path.read_text(), path, "exec"), {"get_config": lambda: c, "__file__": str(path)})
    finally:
        patch.undo()
    return c


@pytest.fixture(scope="module")
def spawner(config):
    """A student's KubeSpawner. It asks for the cluster as soon as it is made, and there is none. A wrong type is refused."""
    import kubespawner.spawner
    user = SimpleNamespace(name="ada", escaped_name="ada", id=1, url="/user/ada/", settings={}, server=None, admin=False,
                           groups=[], roles=[])
    hub = SimpleNamespace(public_host="", url="/hub/", base_url="/hub/", api_url="http://hub:8081/hub/api")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubespawner.spawner, "load_config", lambda **_: None)
        patch.setattr(kubespawner.spawner, "shared_client", lambda *_: None)
        made = config.JupyterHub.spawner_class(config=config, user=user, hub=hub, _mock=True)
    made.orm_spawner = SimpleNamespace(name="", state={}, user=user, user_options={}, server=None)
    made.api_token, made.oauth_client_id = "token", "client"
    return made


@pytest.fixture(scope="module")
def pod(spawner):
    """The pod of a student's server, as KubeSpawner would send it."""
    from kubernetes_asyncio.client import ApiClient

    async def make():
        return ApiClient().sanitize_for_serialization(await spawner.get_pod_manifest())
    return asyncio.run(make())


def test_kubernetes_understands_all_that_the_chart_makes(rendered):
    for one in rendered.values():
        validate.validate(one, KUBERNETES, strict=True)
    assert {("Deployment", "hub"), ("Deployment", "proxy"), ("StatefulSet", "user-placeholder"),
            ("DaemonSet", "continuous-image-puller")} <= set(rendered)


def test_the_hub_takes_all_settings(config, spawner):
    """traitlets only logs what it does not know: each setting must be a trait of its class."""
    from jupyterhub.app import JupyterHub
    from jupyterhub.auth import Authenticator
    from jupyterhub.spawner import Spawner
    from oauthenticator.generic import GenericOAuthenticator
    classes = {one.__name__: one for one in (JupyterHub, Authenticator, Spawner, kubespawner.KubeSpawner, GenericOAuthenticator)}
    for section, settings in config.items():
        if section in classes:
            assert not set(settings) - set(classes[section].class_trait_names()), section
    assert spawner.mem_limit > spawner.mem_guarantee > 0


def test_a_servers_pod(pod, values):
    validate.validate({**pod, "apiVersion": "v1", "kind": "Pod"}, KUBERNETES, strict=True)
    spec = pod["spec"]
    server, = spec["containers"]
    assert "initContainers" not in spec     # the chart's own would be root
    assert server["args"] == ["jupyterhub-singleuser"] and "command" not in server      # the image's start is run before it
    security = server["securityContext"]
    assert (security["runAsUser"], security["allowPrivilegeEscalation"], security["runAsNonRoot"]) == (1000, False, True)
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert spec["automountServiceAccountToken"] is False
    assert spec["priorityClassName"] and spec["schedulerName"]
    environment = {one["name"]: one.get("value") for one in server["env"]}
    assert environment["COURSE_REPOSITORY"] == values["singleuser"]["extraEnv"]["COURSE_REPOSITORY"]
    assert environment["JUPYTERHUB_DEFAULT_URL"] == values["singleuser"]["defaultUrl"]
    assert server["volumeMounts"][0]["mountPath"] == "/home/jovyan"


def test_a_placeholder_holds_the_place_of_one_server(pod, rendered):
    placeholder = rendered["StatefulSet", "user-placeholder"]["spec"]["template"]["spec"]
    wanted = placeholder["containers"][0]["resources"]["requests"]
    asked = pod["spec"]["containers"][0]["resources"]["requests"]
    in_bytes = {"G": 10**9, "M": 10**6, "Gi": 2**30, "Mi": 2**20}
    amount, unit = re.fullmatch(r"(\d+)(\w*)", str(wanted["memory"])).groups()
    assert int(amount) * in_bytes.get(unit, 1) == pytest.approx(int(asked["memory"]), rel=0.05)
    assert float(wanted["cpu"]) == float(asked["cpu"])
    assert placeholder["priorityClassName"] != pod["spec"]["priorityClassName"]


def test_a_server_reaches_the_hub_and_the_web_only(rendered):
    policy = rendered["NetworkPolicy", "singleuser"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    for rule in policy["egress"]:
        for block in [to["ipBlock"] for to in rule.get("to", []) if "ipBlock" in to]:
            ports = {one["port"] for one in rule["ports"]}
            assert ports == {53} or (ports == {443} and "169.254.0.0/16" in block["except"] and "10.0.0.0/8" in block["except"])


def test_the_votes_are_served_by_the_hub(rendered, config, values, spawner):
    service, = (one for one in config.JupyterHub.services if one["name"] == "votes")
    assert service["url"] == "http://hub:10101" and service["api_token"]
    assert service["command"][-1] == values["hub"]["extraFiles"]["votes"]["mountPath"]
    assert 10101 in [port["port"] for port in rendered["Service", "hub"]["spec"]["ports"]]
    mounts = rendered["Deployment", "hub"]["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert "/srv/classroom/votes.py" in [mount["mountPath"] for mount in mounts]
    for policy, direction in (("hub", "ingress"), ("proxy", "egress")):
        assert any({"port": 10101} in rule.get("ports", []) for rule in rendered["NetworkPolicy", policy]["spec"][direction])
    assert spawner.oauth_client_allowed_scopes == ["access:services!service=votes"]
    role, = (one for one in config.JupyterHub.load_roles if one["name"] == "user")
    assert "self" in role["scopes"] and "access:services!service=votes" in role["scopes"]


def test_a_class_may_come_in_at_once(config):
    assert config.JupyterHub.concurrent_spawn_limit >= min(config.JupyterHub.active_server_limit, 500)
