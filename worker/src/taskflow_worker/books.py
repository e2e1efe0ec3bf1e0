"""What a worker keeps account in: every attempt passes over these."""

from dataclasses import dataclass

from taskflow_core.telemetry.metrics import WorkerMetrics
from taskflow_worker.broker import FlowBroker
from taskflow_worker.completion import Completions
from taskflow_worker.ledger import Ledger
from taskflow_worker.progress import ProgressBook
from taskflow_worker.slots import Slots
from taskflow_worker.tempo import Tempo
from taskflow_worker.vitals import Vitals

_BUFFER = 500  # endings that may wait for PostgreSQL, besides two for each slot


@dataclass(frozen=True, slots=True)
class Books:
    """The accounts of one worker."""

    slots: Slots
    ledger: Ledger
    vitals: Vitals
    progress: ProgressBook
    completions: Completions


def open_books(
    broker: FlowBroker, metrics: WorkerMetrics, *, flow: str, replica: str, slots: int, tempo: Tempo
) -> Books:
    """Return the empty accounts of a worker that is about to start."""
    room, ledger = Slots(slots), Ledger()
    vitals = Vitals(metrics, flow=flow, replica=replica, slots=slots, handlers=broker.declarations)
    progress = ProgressBook(every_s=tempo.progress_every_s)
    completions = Completions(
        ledger,
        progress,
        vitals,
        room_for=2 * slots + _BUFFER,
        linger_s=tempo.linger_s,
        more_to_come=lambda: ledger.claiming or room.busy > 0,
        on_settled=room.wake,
    )
    return Books(room, ledger, vitals, progress, completions)
