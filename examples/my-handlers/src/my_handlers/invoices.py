"""Invoices for orders."""

from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, Field, PositiveInt
from taskiq import TaskiqDepends

from my_handlers.archive import Archive
from taskflow_worker import Context, Fatal, Retry, handler


class Line(BaseModel):
    """One line of an order."""

    item: str = Field(min_length=1, max_length=200)
    quantity: PositiveInt
    unit_price: Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=2)]


class Order(BaseModel):
    """The payload: what does not fit is dead-lettered with a reason, and never reaches the handler."""

    number: str = Field(pattern=r"^[0-9A-Za-z-]{1,40}$")
    lines: list[Line] = Field(min_length=1, max_length=1_000)


class Invoice(BaseModel):
    """The result: what the API shows when the task is COMPLETED."""

    number: str
    total: Decimal


@handler("orders.invoice", timeout="10s", retries=5)
async def invoice(
    order: Order, ctx: Context, archive: Annotated[Archive, TaskiqDepends()]
) -> Invoice:
    """Add up an order and archive its invoice.

    It may run twice: a worker can die between the archive's answer and ours. So an invoice that is
    there already, and is the same, is success; another under the same number is for people to look at.
    """
    if not archive.is_there:
        raise Retry(after="30s", reason="The archive is not mounted.")
    total = sum((line.quantity * line.unit_price for line in order.lines), Decimal(0))
    made = Invoice(number=order.number, total=total)
    await ctx.progress(0.5, "added up")
    if not archive.keep(order.number, made.model_dump_json()):
        raise Fatal(f"Invoice {order.number} exists and differs.")
    ctx.log.info("invoice.archived", number=order.number)
    return made
