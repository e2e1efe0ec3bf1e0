"""TaskFlow's metrics: a public interface, listed in `docs/metrics.md` (generated from here).

One class per component, one registry per process. Labels are bounded: never a task, a user or a raw
path. Base units: seconds, bytes, totals.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

# from 0.5 ms, since much here takes one or two, to the longest deadline
_LATENCY_BUCKETS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
)
_TASK_BUCKETS = (*_LATENCY_BUCKETS, 60.0, 300.0, 900.0, 3600.0)


class ApiMetrics:
    """What the API reports."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "taskflow_http_requests",
            "Requests answered, by route template, method and status class.",
            ["route", "method", "status"],
            registry=registry,
        )
        self.duration = Histogram(
            "taskflow_http_request_duration_seconds",
            "Time from the request's head to the answer's end.",
            ["route", "method"],
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "taskflow_http_in_flight", "Requests being answered.", registry=registry
        )
        self.shed = Counter(
            "taskflow_http_shed",
            "Requests refused to protect the rest, by reason.",
            ["reason"],
            registry=registry,
        )
        self.publications = Counter(
            "taskflow_publications",
            "Tasks whose publication right after creation was tried, by outcome"
            " (published, deferred: the window was full, failed: the dispatcher will do it).",
            ["flow", "outcome"],
            registry=registry,
        )
        self.pool = Gauge(
            "taskflow_db_pool",
            "Pooled connections to PostgreSQL, by state (size, idle, waiting).",
            ["state"],
            registry=registry,
        )


class WorkerMetrics:
    """What a worker reports."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.slots = Gauge("taskflow_worker_slots", "Tasks it may run at once.", registry=registry)
        self.busy = Gauge("taskflow_worker_slots_busy", "Tasks it runs.", registry=registry)
        self.beat_age = Gauge(
            "taskflow_worker_heartbeat_age_seconds",
            "Time since PostgreSQL last took its heartbeat.",
            registry=registry,
        )
        self.loop_lag = Gauge(
            "taskflow_worker_event_loop_lag_seconds",
            "How late the event loop ran a timer, at the last heartbeat.",
            registry=registry,
        )
        self.rss = Gauge("taskflow_worker_rss_bytes", "Resident memory.", registry=registry)
        self.wait = Histogram(
            "taskflow_task_wait_seconds",
            "Time from when a task was due to when it was claimed.",
            ["flow"],
            buckets=_TASK_BUCKETS,
            registry=registry,
        )
        self.run = Histogram(
            "taskflow_task_run_seconds",
            "Time a handler took.",
            ["flow", "handler"],
            buckets=_TASK_BUCKETS,
            registry=registry,
        )
        self.finished = Counter(
            "taskflow_task_finished",
            "Attempts that ended, by outcome (completed, failed, cancelled, retry, return).",
            ["flow", "handler", "outcome"],
            registry=registry,
        )
        self.refused = Counter(
            "taskflow_fenced_writes_refused",
            "Completions of attempts that had been given to another worker.",
            ["flow"],
            registry=registry,
        )


class DispatcherMetrics:
    """What the dispatcher reports; only the leader's series move."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.leader = Gauge(
            "taskflow_dispatcher_leader", "1 while this replica leads.", registry=registry
        )
        self.published = Counter(
            "taskflow_dispatcher_published",
            "Entries that it pushed to windows.",
            ["flow"],
            registry=registry,
        )
        self.retracted = Counter(
            "taskflow_dispatcher_retracted",
            "Publications that came to nothing (a push or a whole Redis was lost) and were repeated.",
            ["flow"],
            registry=registry,
        )
        self.failures = Counter(
            "taskflow_dispatcher_failures",
            "Rounds that failed and were repeated, by duty.",
            ["duty"],
            registry=registry,
        )
        self.leases_lost = Counter(
            "taskflow_leases_lost",
            "Running tasks taken back from sessions that were over, by what became of them.",
            ["flow", "became"],
            registry=registry,
        )
        self.sessions_expired = Counter(
            "taskflow_worker_sessions_expired",
            "Workers whose heartbeats stopped.",
            ["flow"],
            registry=registry,
        )
        self.waiting = Gauge(
            "taskflow_queue_waiting",
            "Tasks that could run now and do not (backlog counted up to 100,000), by place.",
            ["flow", "place"],
            registry=registry,
        )
        self.oldest_wait = Gauge(
            "taskflow_queue_oldest_wait_seconds",
            "For how long the oldest of them has been due.",
            ["flow"],
            registry=registry,
        )
        self.running = Gauge(
            "taskflow_queue_running", "Tasks that workers run.", ["flow"], registry=registry
        )
        self.tick = Histogram(
            "taskflow_dispatcher_tick_seconds",
            "Time of one round over all flows.",
            buckets=_LATENCY_BUCKETS,
            registry=registry,
        )
