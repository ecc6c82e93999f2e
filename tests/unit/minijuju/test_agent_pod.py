import asyncio

from minijuju.workload import WorkloadEvent


async def test_pods_are_adopted_after_a_crash(world):
    charm = world.make_charm("app", containers={"web": {}})
    await world.deploy(charm=charm)
    await world.settle()
    await world.until(lambda: "web-pebble-ready" in world.hooks("app/0"))
    await world.settle()
    world.ran.clear()
    boots = world.boots
    await world.crash()
    await world.start()
    await world.settle()
    assert world.boots == boots
    assert world.hooks("app/0") == []


async def test_start_runs_again_in_a_new_pod(world):
    charm = world.make_charm("app", containers={"web": {}})
    await world.deploy(charm=charm)
    await world.until(lambda: "web-pebble-ready" in world.hooks("app/0"))
    await world.settle()
    world.ran.clear()
    await world.stop(stop_pods=True)
    assert not world.pods
    await world.start()
    await world.until(lambda: "web-pebble-ready" in world.hooks("app/0"))
    await world.settle()
    assert sorted(world.hooks("app/0")) == ["start", "web-pebble-ready"]
    assert world.hooks("app/0")[0] == "start"


async def test_start_runs_in_a_new_pod_whose_controller_died_before_it_could_say_so(world):
    await world.deploy(charm=world.make_charm("app", containers={"web": {}}))
    await world.until(lambda: "web-pebble-ready" in world.hooks("app/0"))
    await world.settle()
    await world.crash()
    world.pods.clear()
    world.ran.clear()
    begun = asyncio.Event()

    async def dies(runtime):
        await genuine(runtime)
        begun.set()
        await asyncio.Event().wait()

    runtime = world.runtimes["app/0"]
    genuine = type(runtime).start
    type(runtime).start = dies
    try:
        await world.start()
        await begun.wait()
        await world.crash()
    finally:
        type(runtime).start = genuine
    await world.start()
    await world.until(lambda: "web-pebble-ready" in world.hooks("app/0"))
    await world.settle()
    assert world.hooks("app/0") == ["start", "web-pebble-ready"]


async def test_a_pod_that_cannot_start_says_why_and_is_tried_again(world):
    world.refuse = "no room"
    await world.deploy()
    await world.until(lambda: world.status("app/0")[0] == "blocked")
    assert "no room" in world.status("app/0")[1]
    world.refuse = ""
    await world.settle()
    assert world.hooks("app/0") == world.SETUP


async def test_custom_notices_and_checks(world):
    charm = world.make_charm("app", containers={"web": {}})
    await world.deploy(charm=charm)
    await world.until(lambda: "web-pebble-ready" in world.hooks("app/0"))
    await world.settle()
    world.ran.clear()
    queue = world.runtimes["app/0"].queue
    queue.put_nowait(
        WorkloadEvent(
            "custom-notice", "web", notice_id="9", notice_type="custom", notice_key="a.b/c"
        )
    )
    queue.put_nowait(WorkloadEvent("check-failed", "web", check_name="up"))
    queue.put_nowait(WorkloadEvent("check-recovered", "web", check_name="up"))
    await world.until(lambda: len(world.ran["app/0"]) == 3)
    await world.settle()
    notice, failed, recovered = world.ran["app/0"]
    assert notice.hook == "web-pebble-custom-notice"
    assert notice.env["JUJU_WORKLOAD_NAME"] == "web"
    assert (notice.env["JUJU_NOTICE_ID"], notice.env["JUJU_NOTICE_TYPE"]) == ("9", "custom")
    assert notice.env["JUJU_NOTICE_KEY"] == "a.b/c"
    assert failed.hook == "web-pebble-check-failed"
    assert failed.env["JUJU_PEBBLE_CHECK_NAME"] == "up"
    assert recovered.hook == "web-pebble-check-recovered"
