"""The statements with which the dispatcher keeps the queue going; see `statements` for the others.

They are sent for ever, whatever the tables hold, so each has only one good way to its rows. Flows are
found by loose scans (one probe of an index for each flow, not one for each task), what is due by a range
of one priority (far-off tasks are never walked over), and rows that were just locked by their `ctid`,
which cannot become a scan of the table. Nothing here waits for a lock on a task.
"""

# ---- top-up ---------------------------------------------------------------------------------------

# due_flows: the names of flows in which something is due and not published
DUE_FLOWS = """
with recursive flows as (
  (select flow from tasks where waiting and published_at is null order by flow limit 1)
  union all
  select t.flow from flows f cross join lateral (
    select flow from tasks where waiting and published_at is null and flow > f.flow
     order by flow limit 1) t
)
select flow from flows f where exists (
  select from generate_series(0, 2) p (priority) cross join lateral (
    select from tasks t
     where t.flow = f.flow and t.priority = p.priority and t.waiting
       and t.published_at is null and t.run_at <= now() limit 1) x)
"""

# top_up: mark what is due and unpublished as published, most urgent first, in many flows at once.
# $1 flows, $2 how many of each. The second limit ends the search before it locks what it cannot take.
# Columns: flow, priority, how many, their entries as `Window.append` takes them (oldest first, since
# ids are UUIDv7): two strings cost less than thousands of rows.
TOP_UP = """
with r as (
  select x.ctid from unnest($1::text[], $2::int[]) f (flow, room)
   cross join lateral (
     select y.ctid from generate_series(0, 2) p (priority) cross join lateral (
       select t.ctid from tasks t
        where t.flow = f.flow and t.priority = p.priority and t.waiting
          and t.published_at is null and t.run_at <= now()
        order by t.run_at, t.id limit f.room for update skip locked) y
      limit f.room) x
), u as (
  update tasks t set published_at = now() where t.ctid = any (array(select ctid from r))
  returning t.flow, t.priority, t.id, t.attempt
)
select flow, priority, count(*),
       string_agg(concat_ws(':', id, attempt, (extract(epoch from now()) * 1000)::bigint), ','
                  order by id)
  from u group by flow, priority
"""

# ---- sessions -------------------------------------------------------------------------------------

# contact: PostgreSQL's clock, Unix seconds
CONTACT = "select extract(epoch from clock_timestamp())::float8"

# expire: end sessions whose last heartbeat is older than $1 (Unix seconds by PostgreSQL's own clock).
# A moment and not an age: however late this arrives, nobody is blamed for the time in between.
EXPIRE = """
update worker_sessions set ended_at = now(), ended_reason = 'heartbeats missed'
 where ended_at is null and heartbeat_at < to_timestamp($1::float8)
returning id, flow, replica
"""

# sweep: what runs under a session that is over or unknown goes back, or to the dead letters when its
# attempts are used up. Not once per ended session but always: a claim may commit just after the end.
SWEEP = """
with lost as (
  select t.ctid from tasks t left join worker_sessions s on s.id = t.worker
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
   where t.ctid = any (array(select ctid from lost))
  returning t.id, t.flow, t.attempt, t.status, t.error, t.traceparent
), e as (
  insert into task_events (task_id, type, attempt, actor, data, traceparent)
  select id, case status when 'PENDING' then 'task.lease_lost'
                         when 'CANCELLED' then 'task.cancelled' else 'task.dead_lettered' end,
         attempt, 'dispatcher', error, traceparent from c
)
select flow, status, count(*) from c group by flow, status
"""

# ---- audit ----------------------------------------------------------------------------------------

# overdue_flows: the names of flows in which something published has waited too long. $1 seconds
OVERDUE_FLOWS = """
with recursive flows as (
  (select flow, published_at from tasks where waiting and published_at is not null
    order by flow, published_at limit 1)
  union all
  select t.flow, t.published_at from flows f cross join lateral (
    select flow, published_at from tasks
     where waiting and published_at is not null and flow > f.flow
     order by flow, published_at limit 1) t
)
select flow from flows where published_at < now() - make_interval(secs => $1::float8)
"""

# overdue: what was published and has waited for a claim too long, oldest first, a page at a time.
# $1 flow, $2 seconds, $3 $4 the last row of the page before (its published_at and id), $5 rows
OVERDUE = """
select id::text, published_at from tasks
 where flow = $1::text and waiting and published_at is not null
   and published_at < now() - make_interval(secs => $2::float8)
   and published_at >= $3::timestamptz and (published_at, id) > ($3::timestamptz, $4::text::uuid)
 order by published_at, id limit $5::int
"""

# retract: take back publications that came to nothing, so that top_up repeats them in their turn.
# What was published again or claimed in the meantime stays. $1 ids, $2 seconds
RETRACT = """
update tasks set published_at = null
 where id = any ($1::text::uuid[]) and waiting
   and published_at < now() - make_interval(secs => $2::float8)
returning id::text
"""

# ---- signals --------------------------------------------------------------------------------------

# waiting_flows: the names of flows in which anything waits, due or not
WAITING_FLOWS = """
with recursive unpublished as (
  (select flow from tasks where waiting and published_at is null order by flow limit 1)
  union all
  select t.flow from unpublished f cross join lateral (
    select flow from tasks where waiting and published_at is null and flow > f.flow
     order by flow limit 1) t
), published as (
  (select flow from tasks where waiting and published_at is not null order by flow limit 1)
  union all
  select t.flow from published f cross join lateral (
    select flow from tasks where waiting and published_at is not null and flow > f.flow
     order by flow limit 1) t
)
select flow from unpublished union select flow from published
"""

# running: how many tasks run in each flow
RUNNING = """
select s.flow, count(*) from tasks t join worker_sessions s on s.id = t.worker
 where t.worker is not null group by s.flow
"""

# depth: what waits in the flows $1; counts stop at $2, so that a backlog of millions costs the same as
# one of $2. Columns: flow, unpublished and due, published, seconds the oldest has waited.
DEPTH = """
select f.flow, backlog.n, published.n,
       coalesce(greatest(extract(epoch from now() - least(backlog.oldest, published.oldest)), 0), 0)
         ::float8
  from unnest($1::text[]) f (flow)
  cross join lateral (
    select count(*) n, min(x.run_at) oldest from (
      select y.run_at from generate_series(0, 2) p (priority) cross join lateral (
        select t.run_at from tasks t
         where t.flow = f.flow and t.priority = p.priority and t.waiting
           and t.published_at is null and t.run_at <= now()
         order by t.run_at limit $2::int) y limit $2::int) x) backlog
  cross join lateral (
    select count(*) n, min(x.run_at) oldest from (
      select t.run_at from tasks t
       where t.flow = f.flow and t.waiting and t.published_at is not null
       order by t.published_at limit $2::int) x) published
"""

# ---- maintenance ----------------------------------------------------------------------------------

# forget_keys: delete a batch of idempotency keys that have expired; returns how many
FORGET_KEYS = """
with gone as (
  delete from idempotency_keys where ctid = any (array(
    select ctid from idempotency_keys where expires_at < now()
     order by expires_at limit 5000 for update skip locked))
  returning 1
)
select count(*) from gone
"""

# forget_sessions: delete a batch of worker sessions that ended $1 seconds ago; returns how many
FORGET_SESSIONS = """
with gone as (
  delete from worker_sessions where id = any (array(
    select s.id from worker_sessions s
     where s.ended_at < now() - make_interval(secs => $1::float8) limit 5000))
  returning 1
)
select count(*) from gone
"""

# missing_partitions: which of the tables named in $1 do not exist, in that order
MISSING_PARTITIONS = """
select n.name from unnest($1::text[]) with ordinality n (name, ordinal)
 where to_regclass(n.name) is null order by n.ordinal
"""
