"""Lets i2plib 0.0.14, unmodified, run on Python 3.9 and newer.

Python 3.9 took `Task.all_tasks` and `Task.current_task` away, Python 3.10 the argument `loop` of
the functions below. i2plib and its tests use both, always with the loop that runs anyway. Python
imports a module of this name by itself when it starts.
"""

import asyncio
import functools


def without_loop(function):
    @functools.wraps(function)
    def call(*args, loop=None, **kwargs):
        return function(*args, **kwargs)

    return call


for name in ("open_connection", "start_server", "wait_for", "sleep", "gather", "wait", "Lock"):
    setattr(asyncio, name, without_loop(getattr(asyncio, name)))


class Task(asyncio.Task):
    all_tasks = staticmethod(asyncio.all_tasks)
    current_task = staticmethod(asyncio.current_task)


asyncio.Task = Task
