import pytest

from tinykube import unserved


@pytest.mark.parametrize(
    "plural", ["mutatingwebhookconfigurations", "validatingadmissionpolicies"]
)
async def test_admission_that_would_not_happen_is_refused(http, plural):
    path = f"/apis/admissionregistration.k8s.io/v1/{plural}"
    answer = await http.post(path, json={"metadata": {"name": "x"}})
    assert answer.status_code == 403
    assert "admitted unseen" in answer.json()["message"]
    answer = await http.patch(
        f"{path}/x",
        content=b"{}",
        headers={"content-type": "application/apply-patch+yaml"},
        params={"fieldManager": "x"},
    )
    assert answer.status_code == 403
    assert (await http.get(path)).status_code == 404


def test_what_nobody_would_miss_is_just_not_there():
    assert unserved.refusal("example.com", "things") == ""
