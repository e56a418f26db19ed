"""This process itself, where one is enough."""

from __future__ import annotations

import signal
import threading
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from redy.run.backends.base import Died, Function


@dataclass(frozen=True, eq=False)
class _Ticket:
    """A task that is done when its result is asked for."""

    function: Function
    task: Any


class Here:
    """A pool of no processes: tasks are done one after the other, here.

    What kills the process or takes all its memory ends the run, so no task is ever told as died.
    """

    slots = 1

    def ship(self, function: Function) -> Function:
        """The function itself."""
        return function

    def submit(self, shipped: Function, task: Any) -> _Ticket:
        """Do nothing yet."""
        return _Ticket(shipped, task)

    def finished(self, tickets: Collection[_Ticket]) -> list[tuple[_Ticket, Any | Died]]:
        """Do the first of ``tickets``."""
        if threading.current_thread() is threading.main_thread():
            # Gurobi, having looked for its licence, leaves a handler that resumes what Ctrl-C cuts.
            signal.siginterrupt(signal.SIGINT, True)
        ticket = next(iter(tickets))
        return [(ticket, ticket.function(ticket.task))]

    def stop(self) -> None:
        """Nothing is under way."""

    def close(self) -> None:
        """Nothing is held."""
