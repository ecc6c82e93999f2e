from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.routing import Match

from tinykube.api.shortcut import parameters

RESOURCES = ("/api/v1/{rest:path}", "/apis/{group}/{version}/{rest:path}")
PARTS = st.sampled_from(
    ["api", "apis", "v1", "apps", "pods", "x", "", "a\nb", "%2F", "é", "openapi"]
)


# The fixture is the same for all of them: routes do not change.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.lists(PARTS, max_size=8).map(lambda parts: "/" + "/".join(parts)))
@example(path="/api/v1/")
@example(path="/api/v1//")
@example(path="/apis/apps/v1/")
@example(path="/apis/apps/v1//")
@example(path="/apis//v1/pods")
@example(path="/apis/apps//pods")
@example(path="/api/v1/pods\n")
def test_it_takes_what_the_routes_of_resources_would(app, path):
    found = None
    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    for route in app._app.router.routes:
        match, child = route.matches(scope)
        if match is Match.FULL:
            found = child["path_params"] if route.path in RESOURCES else None
            break
    # What has a line feed is left to the router, whatever that makes of it.
    assert parameters(path) == (None if "\n" in path else found)


async def test_other_methods_and_paths_go_to_the_router(http):
    answer = await http.request("TRACE", "/api/v1/pods")
    assert answer.status_code == 405
    assert (await http.get("/api/v1/")).json()["kind"] == "APIResourceList"
