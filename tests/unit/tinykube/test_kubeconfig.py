import base64
import stat

import yaml

from tinykube.kubeconfig import write_kubeconfig


def test_it_is_private_and_whole(tmp_path, keys):
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, 4711, keys)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = yaml.safe_load(path.read_text())
    cluster = found["clusters"][0]["cluster"]
    assert cluster["server"] == "https://127.0.0.1:4711"
    authority = base64.b64decode(cluster["certificate-authority-data"])
    assert authority == keys.authority.read_bytes()
    assert found["users"][0]["user"]["token"] == keys.admin_token.read_text()
    before = path.stat().st_ino
    write_kubeconfig(path, 4711, keys)
    assert path.stat().st_ino == before
