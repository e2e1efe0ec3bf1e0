"""A started API for each test."""

from collections.abc import AsyncIterator

import pytest

from taskflow_core.settings import DatabaseSettings, RedisSettings
from tests.support.api import Api, Person, api_settings


@pytest.fixture
async def api(
    database_settings: DatabaseSettings, redis_settings: RedisSettings
) -> AsyncIterator[Api]:
    async with Api.started(api_settings(database_settings, redis_settings)) as started:
        yield started


@pytest.fixture
async def user(api: Api) -> Person:
    return await api.register()


@pytest.fixture
async def admin(api: Api) -> Person:
    return await api.register_as("admin")
