"""The metadata image's entry point serves MLflow, behind its token."""

from __future__ import annotations

import httpx2

from .builder import SHARED

TOKEN = "metadata-image-token-000"


def test_mlflow_answers_who_has_the_token(builder, image, port, shared, answers):
    (shared / "data").mkdir()
    tokens = shared / "tokens"
    tokens.touch(mode=0o600)
    tokens.write_text(f"test:{TOKEN}\n")
    log = shared / "log"
    with (
        log.open("w") as output,
        builder.running(
            image("metadata"),
            f"--port={port}",
            "--data=/data",
            "--tokens=/etc/toolkit/tokens",
            volumes={
                "/data": SHARED / shared.name / "data",
                "/etc/toolkit/tokens": SHARED / shared.name / "tokens",
            },
            stdout=output,
        ) as process,
    ):
        url = f"http://127.0.0.1:{port}"
        assert answers(process, f"{url}/health", log).text == "OK"
        assert answers(process, f"{url}/ready", log)
        search, body = "/api/2.0/mlflow/experiments/search", {"max_results": 5}
        with httpx2.Client(base_url=url, trust_env=False, timeout=60) as client:
            assert client.post(search, json=body).status_code == 401
            client.headers["Authorization"] = f"Bearer {TOKEN}"
            found = client.post(search, json=body)
        assert found.status_code == 200, found.text
        assert [each["name"] for each in found.json()["experiments"]] == ["Default"]
    assert (shared / "data" / "mlflow.db").is_file()
