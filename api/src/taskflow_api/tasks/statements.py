"""Every change of a task by a person, in one statement each.

It locks the row, decides, changes it and writes the events of the change. So a change is whole or not at
all, nobody's update is lost, and whoever waited for a lock decides by what the row has become.

Each returns one row: what it did, then the task's columns (`queries.COLUMNS`) as they are now; or no row,
if there is no such task that the viewer may see. Parameters that all share: $1 task, $2 whether the
viewer manages all tasks, $3 the viewer, $4 the versions that `If-Match` allows (null: any), $5 actor,
$6 traceparent.
"""

from taskflow_api.tasks.queries import COLUMNS

_BEFORE = """
before as (
  select * from tasks
   where id = $1::uuid and ($2::boolean or owner_id = $3::uuid or assignee_id = $3::uuid)
     for update
)"""

_EXPECTED = "($4::int[] is null or b.version = any ($4::int[]))"

_RESULT = f"""
select true as applied, {COLUMNS} from c as tasks
union all
select false, {COLUMNS} from before as tasks where not exists (select from c)
"""  # noqa: S608 - made of names of columns

# patch: set the fields that $7 has (a JSON object, null clears), unless the status is a worker's or may
# not follow from the present one. What changes nothing makes no version and no event.
# $8 states from which $7's status may be reached
PATCH = f"""
with {_BEFORE}, after as (
  select b.id,
         case when p ? 'title' then p ->> 'title' else b.title end as title,
         case when p ? 'description' then p ->> 'description' else b.description end as description,
         case when p ? 'priority' then (p ->> 'priority')::smallint else b.priority end as priority,
         case when p ? 'due_at' then (p ->> 'due_at')::timestamptz else b.due_at end as due_at,
         case when p ? 'status' then p ->> 'status' else b.status end as status
    from before b cross join (select $7::text::jsonb as p) x
   where {_EXPECTED}
     and (not p ? 'status' or (b.handler is null and b.status = any ($8::text[])))
), c as (
  update tasks
     set title = a.title, description = a.description, priority = a.priority, due_at = a.due_at,
         status = a.status,
         started_at = case when a.status = 'IN_PROGRESS' then coalesce(tasks.started_at, now())
                           else tasks.started_at end,
         finished_at = case when a.status = tasks.status then tasks.finished_at
                            when a.status in ('COMPLETED', 'CANCELLED') then now() end,
         updated_at = now(), version = tasks.version + 1
    from after a
   where tasks.id = a.id
     and (tasks.title, tasks.description, tasks.priority, tasks.due_at, tasks.status)
         is distinct from (a.title, a.description, a.priority, a.due_at, a.status)
  returning tasks.*
), e as (
  insert into task_events (task_id, type, attempt, actor, data, traceparent)
  select c.id, 'task.updated', c.attempt, $5::text, jsonb_build_object('fields', f.fields), $6::text
    from c join before b on b.id = c.id
   cross join lateral (select array_remove(array[
           case when b.title is distinct from c.title then 'title' end,
           case when b.description is distinct from c.description then 'description' end,
           case when b.priority is distinct from c.priority then 'priority' end,
           case when b.due_at is distinct from c.due_at then 'due_at' end], null) as fields) f
   where cardinality(f.fields) > 0
  union all
  select c.id, 'task.status_changed', c.attempt, $5::text,
         jsonb_build_object('from', b.status, 'to', c.status), $6::text
    from c join before b on b.id = c.id where b.status <> c.status
)
{_RESULT}
"""  # noqa: S608 - made of constants

# assign: give the task to an active user or to nobody, if it is the viewer's to give.
# $7 assignee. Returns whether that is nobody or an active user, before the rest.
ASSIGN = f"""
with {_BEFORE}, assignee as (
  select $7::uuid is null or exists (
    select from users where id = $7::uuid and active and deleted_at is null) as fits
), c as (
  update tasks set assignee_id = $7::uuid, updated_at = now(), version = tasks.version + 1
    from before b, assignee
   where tasks.id = b.id and assignee.fits and ($2::boolean or b.owner_id = $3::uuid)
     and {_EXPECTED} and tasks.assignee_id is distinct from $7::uuid
  returning tasks.*
), e as (
  insert into task_events (task_id, type, attempt, actor, data, traceparent)
  select c.id, 'task.assigned', c.attempt, $5::text,
         jsonb_build_object('from', b.assignee_id, 'to', c.assignee_id), $6::text
    from c join before b on b.id = c.id
)
select assignee.fits, r.* from assignee cross join ({_RESULT}) r
"""  # noqa: S608 - made of constants

# cancel: at once if nobody runs it; a worker that does is asked to stop, by its next heartbeat
CANCEL = f"""
with {_BEFORE}, c as (
  update tasks
     set status = case when tasks.worker is null then 'CANCELLED' else tasks.status end,
         waiting = null,
         cancel_requested_at = case when tasks.worker is not null then now() end,
         finished_at = case when tasks.worker is null then now() end,
         updated_at = now(), version = tasks.version + 1
    from before b
   where tasks.id = b.id and b.status in ('PENDING', 'IN_PROGRESS')
     and b.cancel_requested_at is null and {_EXPECTED}
  returning tasks.*
), e as (
  insert into task_events (task_id, type, attempt, actor, traceparent)
  select id, case when worker is null then 'task.cancelled' else 'task.cancel_requested' end,
         attempt, $5::text, $6::text
    from c
)
{_RESULT}
"""  # noqa: S608 - made of constants

# delete: unless a worker runs it. The log stays, and ends with this.
DELETE = f"""
with {_BEFORE}, c as (
  delete from tasks using before b
   where tasks.id = b.id and tasks.worker is null and ($2::boolean or b.owner_id = $3::uuid)
     and {_EXPECTED}
  returning tasks.*
), e as (
  insert into task_events (task_id, type, attempt, actor, data, traceparent)
  select id, 'task.deleted', attempt, $5::text, jsonb_build_object('status', status), $6::text from c
)
{_RESULT}
"""  # noqa: S608 - made of constants

# ---- idempotency keys: in the transaction of the request ---------------------------------------------

# take_key: a row if the key is new or has expired; waits for whoever holds it.
# $1 owner, $2 key, $3 fingerprint, $4 seconds it is kept
TAKE_KEY = """
insert into idempotency_keys as k (owner_id, key, fingerprint, expires_at)
values ($1::uuid, $2::text, $3::bytea, now() + make_interval(secs => $4::float8))
on conflict (owner_id, key) do update
   set fingerprint = excluded.fingerprint, status = null, headers = null, body = null,
       created_at = now(), expires_at = excluded.expires_at
 where k.expires_at <= now()
returning true
"""

# store_answer: $1 owner, $2 key, $3 status, $4 headers, $5 body
STORE_ANSWER = """
update idempotency_keys set status = $3::int, headers = $4::text, body = $5::bytea
 where owner_id = $1::uuid and key = $2::text
"""

# stored_answer: $1 owner, $2 key
STORED_ANSWER = """
select fingerprint, status, headers, body from idempotency_keys
 where owner_id = $1::uuid and key = $2::text and expires_at > now()
"""
