"""KubeSpawner as a hub drives it: a server with its home claim, reached, found again, ended.

The hub's user is a stand-in with what a spawner reads of one. Prints what it saw as JSON.
"""

import asyncio
import json
import types

import httpx
from jupyterhub.objects import Hub, Server
from kubespawner import KubeSpawner
from traitlets.config import Config

config = Config()
config.KubeSpawner.namespace = "default"
config.KubeSpawner.image = "python:3"
config.KubeSpawner.start_timeout = 60
config.KubeSpawner.storage_pvc_ensure = True
config.KubeSpawner.pvc_name_template = "claim-{username}"
config.KubeSpawner.storage_capacity = "1Mi"
config.KubeSpawner.volumes = [
    {"name": "home", "persistentVolumeClaim": {"claimName": "claim-{username}"}}
]
config.KubeSpawner.volume_mounts = [{"name": "home", "mountPath": "/home/jovyan"}]
config.KubeSpawner.cpu_limit = 1
config.KubeSpawner.mem_limit = "512M"
config.KubeSpawner.environment = {"GREETING": "hello"}
config.KubeSpawner.extra_labels = {"hub.jupyter.org/test": "yes"}


def spawner(port):
    config.KubeSpawner.port = port
    config.KubeSpawner.cmd = [
        *("sh", "-c"),
        "cd /home/jovyan && echo $GREETING >> greeting && "
        f"exec python3 -m http.server {port} --bind 0.0.0.0",
    ]
    user = types.SimpleNamespace(
        name="ada", id=1, url="/user/ada/", server=Server(), settings={}, escaped_name="ada"
    )
    return KubeSpawner(hub=Hub(), user=user, config=config, api_token="t", oauth_client_id="x")


async def page(url):
    async with httpx.AsyncClient() as web:
        for _ in range(200):
            try:
                return (await web.get(f"{url}/greeting")).text
            except httpx.TransportError:
                await asyncio.sleep(0.1)
    return None


async def main():
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    seen = {}
    first = spawner(port)
    url = await first.start()
    seen["page"] = await page(url)
    seen["running"] = await first.poll()
    again = spawner(port)
    again.load_state(first.get_state())
    seen["found again"] = await again.poll()
    await again.stop()
    seen["ended"] = await again.poll()
    later = spawner(port)
    seen["home"] = await page(await later.start())
    seen["events"] = [event["reason"] for event in later.events]
    await later.stop(now=True)
    await later.delete_forever()
    print(json.dumps(seen))


asyncio.run(main())
