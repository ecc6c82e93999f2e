"""Wait for one of several things."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def first_of(*works: Coroutine[Any, Any, object]) -> None:
    """Wait until one of several things has happened."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def happened(one: Coroutine[Any, Any, object], task: asyncio.Task[object]) -> None:
    """Wait for `one` or for the task, whose failure is raised."""
    other = asyncio.create_task(one)
    try:
        await asyncio.wait((other, task), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
    finally:
        other.cancel()
        await asyncio.wait((other,))
