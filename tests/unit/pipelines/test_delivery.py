"""Records of several runs, delivered to a recipient that takes what a test lets it."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit_pipelines import app, outbox, webhook
from toolkit_pipelines.delivery import Delivery, UnreachableError
from toolkit_pipelines.events import RunEnded, RunPhase
from toolkit_pipelines.settings import Settings
from toolkit_pipelines.store import Store, open_store
from toolkit_pipelines.store.interface import OutboxEntry, Recipient, Run


class Told(Delivery):
    def __init__(self, store: Store, recipient: Recipient) -> None:
        super().__init__(store.runs, recipient, (0.001, 0.01))
        self.keys: list[str] = []
        self.tries = 0
        self.refused = ""

    async def deliver(self, entry: OutboxEntry) -> None:
        if entry.record.run_id == self.refused:
            self.tries += 1
            raise UnreachableError("not now")
        self.keys.append(entry.record.key)

    async def close(self) -> None:
        self.keys.append("closed")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        state=tmp_path,
        pipeline_root=tmp_path,
        environments=tmp_path,
        token_file=tmp_path / "tokens",
        failure_webhook_file=tmp_path / "url",
    )


@pytest.fixture
def store(tmp_path: Path, settings: Settings) -> Store:
    return open_store(tmp_path / "pipelines.db", app.records(settings))


async def test_each_recipient_has_its_own_and_one_run_holds_up_no_other(
    store: Store, new_run: Callable[..., Run]
) -> None:
    first, second = new_run(), new_run()
    for run in (first, second):
        ended = RunEnded(run_id=run.run_id, time=5.0, phase=RunPhase.FAILED)
        store.runs.append(run.run_id, [ended], 1)
    hook, mlflow = Told(store, Recipient.WEBHOOK), Told(store, Recipient.MLFLOW)
    mlflow.refused = first.run_id
    tasks = [asyncio.create_task(each.run()) for each in (hook, mlflow)]
    try:
        async with asyncio.timeout(60):
            while len(hook.keys) < 2 or len(mlflow.keys) < 2 or mlflow.tries < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            assert hook.keys == [f"webhook/{run.run_id}/2" for run in (first, second)]
            assert mlflow.keys == [f"{second.run_id}/1", f"{second.run_id}/2"]
            mlflow.refused = ""
            while store.runs.outbox(Recipient.MLFLOW):  # noqa: ASYNC110 - the outbox has no event
                await asyncio.sleep(0.005)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        store.close()
    assert mlflow.keys[2:] == [f"{first.run_id}/1", f"{first.run_id}/2", "closed"]


def test_nobody_is_told_of_failures_unless_an_address_is_set(settings: Settings) -> None:
    ended = RunEnded(run_id="r", time=5.0, phase=RunPhase.FAILED, sequence=2)
    assert app.records(settings)([ended]) == outbox.record([ended]) + webhook.record([ended])
    without = dataclasses.replace(settings, failure_webhook_file=None)
    assert app.records(without)([ended]) == outbox.record([ended])
