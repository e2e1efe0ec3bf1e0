"""The logins of a local TaskFlow. Their passwords are public: never for a server of others."""

import psycopg

from taskflow_api.auth.passwords import hash_password
from taskflow_core.ids import new_id

USER = ("user@example.com", "user123")
ADMIN = ("admin@example.com", "admin123")
_BCRYPT_COST = 10  # they are no secret, and a first start should be quick
_LOGINS = ((ADMIN, "admin", "Admin"), (USER, "user", "User"))


def seed(database_url: str) -> None:
    """Create the logins that are missing; whoever is there keeps name, role and password."""
    with psycopg.connect(database_url) as connection:
        for (email, password), role, name in _LOGINS:
            found = connection.execute(
                "select 1 from users where lower(email) = lower(%s)", (email,)
            ).fetchone()
            if found is None:
                connection.execute(
                    "insert into users (id, email, name, password_hash, role)"
                    " values (%s, %s, %s, %s, %s) on conflict do nothing",
                    (new_id(), email, name, hash_password(password, _BCRYPT_COST), role),
                )
