from __future__ import annotations

from toolkit_pipelines.store.listeners import Listeners


def test_everyone_is_told_until_they_stop() -> None:
    listeners = Listeners()
    first: list[str] = []
    second: list[str] = []
    stop = listeners.subscribe(first.append)
    listeners.subscribe(second.append)
    listeners.tell("a")
    stop()
    stop()
    listeners.tell("b")
    assert (first, second) == (["a"], ["a", "b"])


def test_a_listener_may_stop_while_it_is_told() -> None:
    listeners = Listeners()
    heard: list[str] = []

    def once(record_id: str) -> None:
        heard.append(record_id)
        stop()

    stop = listeners.subscribe(once)
    listeners.tell("a")
    listeners.tell("b")
    assert heard == ["a"]
