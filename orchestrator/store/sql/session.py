"""Settings of a PostgreSQL session: by a start-up parameter, or in each transaction where a pooler drops that."""

from typing import Any, Final

from sqlalchemy import Engine, event
from sqlalchemy.engine import Connection

from orchestrator.core.errors import StoreError

from .watchdog import WATCHDOG

SETTINGS: Final = {
    "synchronous_commit": "on",
    "lock_timeout": "5000",
    "idle_in_transaction_session_timeout": "3000",
}
"""A process that is stopped in the midst of a transaction gives up its locks."""
_MARK: Final = "orchestrator.session"
"""A setting of ours; where the server does not know it, the start-up parameter did not arrive."""
_REFUSED: Final = "unsupported startup parameter"
_LOCALLY: Final = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in SETTINGS.items())
_DROPPED: Final = "orchestrator: options dropped"


def startup_options(given: tuple[str, ...]) -> str:
    """The value of the start-up parameter `options`; what the store's URL gives comes last, so that it wins."""
    ours = [f"-c {name}={value}" for name, value in (*SETTINGS.items(), (_MARK, "on"))]
    return " ".join((*ours, *given))


def keep_settings(engine: Engine, given: tuple[str, ...], *, writes: bool) -> None:
    """Let the settings hold also behind PgBouncer, which refuses or drops the start-up parameter `options`.

    A connection raises `StoreError` where options that the store's URL gives, such as a search path, did not arrive.
    """

    def connect(dialect: Any, _record: object, args: Any, settings: dict[str, Any]) -> Any:
        try:
            return dialect.connect(*args, **settings)
        except dialect.loaded_dbapi.OperationalError as error:
            if _REFUSED not in str(error):
                raise
            if given:
                raise _lost(given) from error
            return dialect.connect(*args, **{name: value for name, value in settings.items() if name != "options"})

    def check(connection: Any, record: Any) -> None:
        with WATCHDOG.watching_driver(connection):
            arrived = connection.execute("SELECT current_setting(%s, true)", (_MARK,)).fetchone()[0] == "on"
            connection.rollback()
        if not arrived and given:
            raise _lost(given)
        record.info[_DROPPED] = not arrived

    def begin(connection: Connection) -> None:
        if connection.info.get(_DROPPED):
            connection.exec_driver_sql(f"SELECT {_LOCALLY}")

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "connect", check)
    if writes:
        event.listen(engine, "begin", begin)


def _lost(given: tuple[str, ...]) -> StoreError:
    return StoreError(
        f"the pooler in front of the database does not pass on options={' '.join(given)} of the store's URL: set "
        "that on the role (ALTER ROLE … SET …) and leave it out of the URL, or connect to the database directly"
    )


__all__ = ["SETTINGS", "keep_settings", "startup_options"]
