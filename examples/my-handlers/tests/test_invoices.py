"""The handler as a worker would run it, without a worker."""

from pathlib import Path

import pytest

from my_handlers.invoices import invoice
from taskflow_worker import Fatal, Retry
from taskflow_worker.errors import InvalidPayload
from taskflow_worker.testing import Progress, run

ORDER = {"number": "2031-7", "lines": [{"item": "apples", "quantity": 3, "unit_price": "0.40"}]}


@pytest.fixture(autouse=True)
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MY_HANDLERS_ARCHIVE", str(tmp_path))
    return tmp_path


async def test_an_order_is_added_up_and_archived(archive: Path) -> None:
    progress: list[Progress] = []

    result = await run(invoice, ORDER, progress=progress)

    assert result == {"number": "2031-7", "total": "1.20"}
    assert (archive / "2031-7.json").read_text() == '{"number":"2031-7","total":"1.20"}'
    assert progress == [(0.5, "added up")]


async def test_a_second_attempt_finds_its_own_invoice() -> None:
    assert await run(invoice, ORDER, attempt=1) == await run(invoice, ORDER, attempt=2)


async def test_another_invoice_under_the_same_number_is_for_people() -> None:
    await run(invoice, ORDER)
    other = ORDER | {"lines": [{"item": "pears", "quantity": 1, "unit_price": "9.99"}]}

    with pytest.raises(Fatal, match="exists and differs"):
        await run(invoice, other)


async def test_without_its_archive_it_asks_for_another_attempt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MY_HANDLERS_ARCHIVE", str(tmp_path / "unmounted"))

    with pytest.raises(Retry, match="not mounted") as asked:
        await run(invoice, ORDER)

    assert asked.value.after_s == 30


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        ORDER | {"lines": []},
        ORDER | {"number": "../../etc/passwd"},
        ORDER | {"lines": [{"item": "apples", "quantity": 0, "unit_price": "0.40"}]},
        ORDER | {"lines": [{"item": "apples", "quantity": 1, "unit_price": "0.405"}]},
    ],
)
async def test_an_order_that_makes_no_sense_is_refused(payload: object) -> None:
    with pytest.raises(InvalidPayload):
        await run(invoice, payload)
