from tinykube import kinds


def test_all_faults_of_an_object_without_a_name_are_told(create, refused):
    error = refused(create, kinds.SECRETS, {"data": {"a/b": ""}, "type": "kubernetes.io/tls"})
    assert [cause.field for cause in error.causes] == [
        "metadata.name",
        "data[a/b]",
        "data[tls.crt]",
        "data[tls.key]",
    ]


def test_what_a_write_of_the_status_made_invalid(create, change, refused, pod):
    create(kinds.PODS, pod())
    status = {"metadata": {"labels": {"a/b/c": ""}}, "status": {"phase": "Running"}}
    error = refused(change, "one", status, resource=kinds.PODS, subresource="status")
    assert (error.code, [cause.field for cause in error.causes]) == (422, ["metadata.labels"])
