"""Rows that become answers, and statements that bring them."""

import json
import re
from uuid import UUID

import pytest
import sqlalchemy as sa
from pydantic import BaseModel

from taskflow_api.tasks import queries, rows
from taskflow_api.tasks.compiled import Compiled, compiled
from taskflow_api.tasks.idempotency import fingerprint
from taskflow_api.tasks.rows import EventRow, MetaRow, PageRow, TaskRow, encode, event_row
from taskflow_core.models import Task


class _Other(BaseModel):
    id: int


def test_a_struct_that_differs_from_its_model_stops_the_import() -> None:
    with pytest.raises(TypeError, match="EventRow and _Other"):
        rows._same_fields(EventRow, _Other)


def test_json_columns_pass_through_untouched() -> None:
    event = event_row((1, "task.updated", None, 0, None, '{"b": 1.0, "a": 1e2}'))

    assert b'"data":{"b": 1.0, "a": 1e2}' in encode(PageRow([event], MetaRow(1, None)))
    assert event_row((1, "task.created", None, 0, None, None)).data is None


def test_a_page_leaves_out_what_was_not_asked_for() -> None:
    empty = json.loads(encode(PageRow([], MetaRow(20, None))))
    counted = json.loads(encode(PageRow([], MetaRow(20, "c", total=0, page=2))))

    assert empty == {"data": [], "meta": {"limit": 20, "next_cursor": None}}
    assert counted["meta"] == {"limit": 20, "next_cursor": "c", "total": 0, "page": 2}


def test_the_columns_come_in_the_order_of_the_struct() -> None:
    found = re.findall(r"AS (\w+)(?:,| ?\n?FROM)", queries.TASK.sql.replace("AS TEXT)", ""))

    assert tuple(found) == TaskRow.__struct_fields__


def test_parameters_come_in_the_order_of_the_placeholders() -> None:
    table = sa.inspect(Task).local_table
    statement = compiled(
        sa.select(table.c.id).where(
            table.c.owner_id == sa.bindparam("who", type_=sa.Uuid()),
            table.c.title == sa.bindparam("what", type_=sa.Text()),
            table.c.assignee_id == sa.bindparam("who", type_=sa.Uuid()),
        )
    )
    person = UUID(int=1)

    assert statement.names == ("who", "what")
    assert "$3" not in statement.sql
    assert statement.parameters({"what": "t", "who": person, "more": 0}) == [person, "t"]
    with pytest.raises(KeyError):
        statement.parameters({"who": person})


def test_a_literal_in_a_statement_is_refused_when_it_is_compiled() -> None:
    with pytest.raises(ValueError, match="named bind parameters"):
        compiled(sa.select(sa.inspect(Task).local_table.c.id).limit(5))


def test_each_shape_of_a_list_is_compiled_once() -> None:
    assert queries.total(True, frozenset({"flow"})) is queries.total(True, frozenset({"flow"}))
    assert isinstance(queries.TASK, Compiled)


def test_a_fingerprint_sees_values_and_not_the_way_they_are_written() -> None:
    one = fingerprint("POST", "/x", {"a": 1, "b": [1, 2]})

    assert one == fingerprint("POST", "/x", {"b": [1, 2], "a": 1})
    assert len(one) == 32
    for other in (
        fingerprint("POST", "/x", {"a": 1, "b": [2, 1]}),
        fingerprint("POST", "/y", {"a": 1, "b": [1, 2]}),
        fingerprint("PUT", "/x", {"a": 1, "b": [1, 2]}),
    ):
        assert other != one
