"""Makes i2plib 0.0.14 run unmodified on Python 3.9 and newer.

Python 3.9 removed `Task.all_tasks` and `Task.current_task`, and Python 3.10 the argument `loop` of
the functions below. i2plib and its tests use both, always with the running loop. Python imports a
module of this name when it starts.
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
