"""The statements of the queue protocol, each with its name and what it is for.

Parameters are `$n`; arrays come as one literal (`taskflow_core.db.link.array`), JSON as one text: one
string to send instead of a thousand objects to adapt. `worker + 0` keeps the planner off
`ix_tasks_running` where the primary key is the way: a drain fills that index with dead entries.
Clocks are PostgreSQL's throughout. Whoever changes a task's state writes the event in the same
statement.
"""

from taskflow_core.tasks.retry import DEFAULT_MAX_ATTEMPTS

# ---- creation -------------------------------------------------------------------------------------

# create: insert tasks and their first events. $1 JSON array of rows (see tasks.create), $2 actor.
CREATE = """
with t as (
  insert into tasks (id, owner_id, assignee_id, title, description, priority, due_at, flow, handler,
                     payload, run_at, waiting, published_at, max_attempts, timeout_s, traceparent)
  select r.id, r.owner_id, r.assignee_id, r.title, r.description, r.priority, r.due_at, r.flow,
         r.handler, r.payload, coalesce(r.run_at, now()),
         case when r.handler is not null then true end,
         case when r.handler is not null and r.publish and coalesce(r.run_at, now()) <= now()
              then now() end,
         r.max_attempts, r.timeout_s, r.traceparent
    from jsonb_to_recordset($1::text::jsonb) as r (
         id uuid, owner_id uuid, assignee_id uuid, title text, description text, priority smallint,
         due_at timestamptz, flow text, handler text, payload jsonb, run_at timestamptz,
         publish boolean, max_attempts int, timeout_s float8, traceparent text)
  returning id, created_at, run_at, published_at, traceparent
), e as (
  insert into task_events (task_id, type, actor, traceparent)
  select id, 'task.created', $2::text, traceparent from t
)
select id, created_at, run_at, published_at is not null from t
"""

# ---- a worker's session ---------------------------------------------------------------------------

# open_session: $1 flow, $2 replica
OPEN_SESSION = """
insert into worker_sessions (flow, replica) values ($1::text, $2::text) returning id
"""

# beat: keep the leases of everything the session runs; no row: the session was ended. $1 session
BEAT = """
update worker_sessions set heartbeat_at = now()
 where id = $1::bigint and ended_at is null returning id
"""

# end_session: $1 session, $2 reason
END_SESSION = """
update worker_sessions set ended_at = now(), ended_reason = $2::text
 where id = $1::bigint and ended_at is null
"""

# held: what PostgreSQL believes a session runs, and what of it should stop. $1 session
HELD = """
select id::text, attempt, cancel_requested_at is not null from tasks where worker = $1::bigint
"""

# ---- claim and completion -------------------------------------------------------------------------

# claim: take what is waiting and due, for a live session. An id that is not waiting is left out: it
# was a duplicate, was cancelled, or somebody else was faster.
# $1 session, $2 ids, $3 JSON object handler → attempts, for tasks that do not say themselves
CLAIM = f"""
with me as (select from worker_sessions where id = $1::bigint and ended_at is null),
c as (
  update tasks t
     set status = 'IN_PROGRESS', waiting = null, worker = $1::bigint, attempt = t.attempt + 1,
         max_attempts = coalesce(t.max_attempts, ($3::text::jsonb ->> t.handler)::int,
                                 {DEFAULT_MAX_ATTEMPTS}),
         started_at = now(), updated_at = now(), version = t.version + 1
    from unnest($2::text::uuid[]) with ordinality i (id, n)
   where t.id = i.id and t.waiting and t.run_at <= now() and exists (select from me)
  returning i.n, t.id, t.attempt, t.max_attempts, t.handler, t.payload, t.timeout_s,
            t.traceparent, t.run_at, t.started_at
), e as (
  insert into task_events (task_id, type, attempt, actor, traceparent)
  select id, 'task.started', attempt, 'worker:' || $1::bigint, traceparent from c
)
select n, attempt, max_attempts, handler, payload::text, timeout_s, traceparent,
       extract(epoch from started_at - run_at)::float8 from c
"""  # noqa: S608 - the one inserted value is a constant of ours

# adopt: read back claims whose answer was lost. $1 session, $2 ids. Columns as of claim.
ADOPT = """
select i.n, t.attempt, t.max_attempts, t.handler, t.payload::text, t.timeout_s, t.traceparent,
       extract(epoch from t.started_at - t.run_at)::float8
  from unnest($2::text::uuid[]) with ordinality i (id, n) join tasks t on t.id = i.id
 where t.worker + 0 = $1::bigint
"""

# complete: end attempts, fenced by (id, attempt, session); returns the ordinals of those that were
# still ours. Outcomes: COMPLETED (body: the result), FAILED (body: the error), CANCELLED, RETRY
# (body: the error; again after the pause), RETURN (had not started: the attempt does not count).
# $1 session, $2 ids, $3 attempts, $4 outcomes, $5 pauses in seconds, $6 JSON array of bodies
COMPLETE = """
with d as (
  select * from rows from (unnest($2::text::uuid[]), unnest($3::text::int[]),
                           unnest($4::text::text[]), unnest($5::text::float8[]),
                           jsonb_array_elements($6::text::jsonb))
           with ordinality d (id, attempt, outcome, pause_s, body, n)
), c as (
  update tasks t
     set status = case when d.outcome not in ('RETRY', 'RETURN') then d.outcome
                       when t.cancel_requested_at is not null then 'CANCELLED'
                       else 'PENDING' end,
         waiting = case when d.outcome in ('RETRY', 'RETURN') and t.cancel_requested_at is null
                        then true end,
         worker = null,
         attempt = t.attempt - case d.outcome when 'RETURN' then 1 else 0 end,
         published_at = case when d.outcome in ('RETRY', 'RETURN') then null
                             else t.published_at end,
         run_at = case d.outcome when 'RETRY' then now() + make_interval(secs => d.pause_s)
                                 else t.run_at end,
         result = case d.outcome when 'COMPLETED' then d.body end,
         error = case when d.outcome in ('FAILED', 'RETRY') then d.body
                      when d.outcome = 'COMPLETED' then null
                      else t.error end,
         finished_at = case when d.outcome in ('RETRY', 'RETURN') and t.cancel_requested_at is null
                            then null else now() end,
         updated_at = now(), version = t.version + 1
    from d
   where t.id = d.id and t.attempt = d.attempt and t.worker + 0 = $1::bigint
  returning d.n, t.id, d.attempt, t.status, d.outcome, t.error, t.traceparent
), e as (
  insert into task_events (task_id, type, attempt, actor, data, traceparent)
  select id,
         case status when 'COMPLETED' then 'task.completed'
                     when 'FAILED' then 'task.dead_lettered'
                     when 'CANCELLED' then 'task.cancelled'
                     else case outcome when 'RETURN' then 'task.returned' else 'task.retried' end end,
         attempt, 'worker:' || $1::bigint,
         case when outcome in ('FAILED', 'RETRY') then error end, traceparent
    from c
)
select n from c
"""

# progress: note how far running attempts are, fenced like complete; no version, no event.
# $1 session, $2 ids, $3 attempts, $4 JSON array
PROGRESS = """
update tasks t set progress = d.body, updated_at = now()
  from rows from (unnest($2::text::uuid[]), unnest($3::text::int[]),
                  jsonb_array_elements($4::text::jsonb)) d (id, attempt, body)
 where t.id = d.id and t.attempt = d.attempt and t.worker + 0 = $1::bigint
"""

# ---- the dispatcher -------------------------------------------------------------------------------

# waiting_flows: the names of flows in which anything waits, by a loose scan of two partial indexes
WAITING_FLOWS = """
with recursive unpublished as (
  (select flow from tasks where waiting and published_at is null order by flow limit 1)
  union all
  select (select t.flow from tasks t
           where t.waiting and t.published_at is null and t.flow > u.flow order by t.flow limit 1)
    from unpublished u where u.flow is not null
), published as (
  (select flow from tasks where waiting and published_at is not null order by flow limit 1)
  union all
  select (select t.flow from tasks t
           where t.waiting and t.published_at is not null and t.flow > p.flow
           order by t.flow limit 1)
    from published p where p.flow is not null
)
select flow from unpublished where flow is not null
union
select flow from published where flow is not null
"""

# top_up: mark what is due and unpublished as published, most urgent first. $1 flow, $2 how many.
# One range of the index per priority, so that far-off `run_at`s of one are never walked over.
TOP_UP = """
with r as (
  select x.id from generate_series(0, 2) p (priority)
   cross join lateral (
     select t.id, t.priority, t.run_at from tasks t
      where t.flow = $1::text and t.priority = p.priority and t.waiting
        and t.published_at is null and t.run_at <= now()
      order by t.run_at, t.id limit $2::int for update skip locked) x
   order by x.priority, x.run_at, x.id limit $2::int
)
update tasks t set published_at = now() from r where t.id = r.id
returning t.id::text, t.priority, t.attempt
"""

# expire: end sessions that missed their heartbeats. $1 seconds
EXPIRE = """
update worker_sessions set ended_at = now(), ended_reason = 'heartbeats missed'
 where ended_at is null and heartbeat_at < now() - make_interval(secs => $1::float8)
returning id, flow, replica
"""

# sweep: what runs under a session that is over or unknown goes back, or to the dead letters when its
# attempts are used up. Not once per ended session but always: a claim may commit just after the end.
SWEEP = """
with lost as (
  select t.id from tasks t left join worker_sessions s on s.id = t.worker
   where t.worker is not null and (s.id is null or s.ended_at is not null)
   limit 5000 for update of t skip locked
), c as (
  update tasks t
     set status = case when t.cancel_requested_at is not null then 'CANCELLED'
                       when t.attempt < t.max_attempts then 'PENDING' else 'FAILED' end,
         waiting = case when t.cancel_requested_at is null and t.attempt < t.max_attempts
                        then true end,
         worker = null, published_at = null, updated_at = now(), version = t.version + 1,
         error = case when t.cancel_requested_at is null then jsonb_build_object(
                   'reason', 'WorkerLost', 'attempt', t.attempt,
                   'message', 'The worker that ran this attempt stopped sending heartbeats.') end,
         finished_at = case when t.cancel_requested_at is not null or t.attempt >= t.max_attempts
                            then now() end
    from lost where t.id = lost.id
  returning t.id, t.flow, t.attempt, t.status, t.error, t.traceparent
), e as (
  insert into task_events (task_id, type, attempt, actor, data, traceparent)
  select id, case status when 'PENDING' then 'task.lease_lost'
                         when 'CANCELLED' then 'task.cancelled' else 'task.dead_lettered' end,
         attempt, 'dispatcher', error, traceparent from c
)
select flow, status, count(*) from c group by flow, status
"""

# overdue: what was published and has waited for a claim too long. $1 flow, $2 seconds
OVERDUE = """
select id::text, priority, attempt from tasks
 where flow = $1::text and waiting and published_at is not null
   and published_at < now() - make_interval(secs => $2::float8)
 order by published_at limit 20000
"""

# republish: note that tasks are published again, if they still wait; returns those. $1 ids
REPUBLISH = """
update tasks set published_at = now()
 where id = any ($1::text::uuid[]) and waiting returning id::text, priority, attempt
"""

# depth: what waits and runs in a flow; counts stop at $2, so that a backlog of millions costs the
# same as one of $2. Columns: unpublished and due, published, running, seconds the oldest has waited.
DEPTH = """
select (select count(*) from (select from tasks where flow = $1::text and waiting
          and published_at is null and run_at <= now() limit $2::int) x),
       (select count(*) from (select from tasks where flow = $1::text and waiting
          and published_at is not null limit $2::int) x),
       (select count(*) from tasks t join worker_sessions s on s.id = t.worker
         where t.worker is not null and s.flow = $1::text),
       coalesce((select extract(epoch from now() - min(run_at)) from (
          (select min(run_at) run_at from tasks where flow = $1::text and waiting
             and published_at is null and priority = 0 and run_at <= now())
          union all
          (select min(run_at) from tasks where flow = $1::text and waiting
             and published_at is null and priority = 1 and run_at <= now())
          union all
          (select min(run_at) from tasks where flow = $1::text and waiting
             and published_at is null and priority = 2 and run_at <= now())
          union all
          (select run_at from tasks where flow = $1::text and waiting
             and published_at is not null order by published_at limit 1)) x), 0)::float8
"""

# forget: delete idempotency keys that have expired, a batch at a time
FORGET = """
delete from idempotency_keys where (owner_id, key) in (
  select owner_id, key from idempotency_keys where expires_at < now() limit 5000)
"""
