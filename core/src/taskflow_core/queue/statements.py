"""The statements of the queue protocol, each with its name and what it is for.

The dispatcher's are in `upkeep`. Parameters are `$n`; arrays come as one literal
(`taskflow_core.db.link.array`), JSON as one text: one string to send instead of a thousand objects to
adapt. `worker + 0` keeps the planner off `ix_tasks_running` where the primary key is the way: a drain
fills that index with dead entries. Clocks are PostgreSQL's throughout. Whoever changes a task's state
writes the event in the same statement.
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
