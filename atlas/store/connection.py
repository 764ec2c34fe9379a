"""The one door to the database, and the only module that knows the driver.

Read mode and write mode are wrapped once here; values become plain Python (`atlas.store.values`) and the
driver's errors become one-line errors of ours (`atlas.store.failures`) on their way out.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from atlas.errors import QueryError
from atlas.store.failures import check_version, translated
from atlas.store.settings import Settings, load_settings
from atlas.store.values import GraphNode, GraphPath, GraphRelationship, Plan, PlanNode, Result

if TYPE_CHECKING:
    import neo4j

TCP_SECONDS = 3.0
ACQUISITION_SECONDS = 5.0
PLAIN = (str, int, float, bool, type(None))
Params = Mapping[str, Any]
Notify = Callable[[str], None]
Run = Callable[[str, Params | None], Result]
T = TypeVar("T")


@dataclass(frozen=True)
class Target:
    """A database to talk to; `password` None means a server without authentication."""

    uri: str
    user: str
    password: str | None = field(repr=False)
    database: str = "neo4j"


class Connection:
    """An open, checked connection; also a context manager. Safe to share between threads.

    Parameters
    ----------
    retry_seconds : budget in which a transaction is run again after a passing failure, such as a deadlock.
    strict : the server's notices of level WARNING become Python warnings, which tests turn into errors.

    Raises
    ------
    StoreError : unreachable, wrong password, not Neo4j, or older than 5.26.
    """

    def __init__(self, target: Target, *, retry_seconds: float = 10.0, strict: bool = False) -> None:
        driver_module = _driver_module()
        self.target = target
        auth = None if target.password is None else (target.user, target.password)
        notices: dict[str, Any] = (
            {"notifications_min_severity": "WARNING", "warn_notification_severity": "WARNING"}
            if strict
            else {"notifications_min_severity": "OFF"}
        )
        with _errors(target.uri):
            self._driver: neo4j.Driver = driver_module.GraphDatabase.driver(
                target.uri,
                auth=auth,
                connection_timeout=TCP_SECONDS,
                connection_acquisition_timeout=ACQUISITION_SECONDS,
                max_transaction_retry_time=retry_seconds,
                **notices,
            )
        try:
            with _errors(target.uri):
                agent = self._driver.get_server_info().agent
            self.version = check_version(agent, target.uri)
        except BaseException:
            self._driver.close()
            raise

    def read(
        self,
        cypher: str,
        params: Params | None = None,
        *,
        timeout: float | None = None,
        limit: int | None = None,
    ) -> Result:
        """Run one statement in read mode; the server refuses writes.

        Parameters
        ----------
        timeout : seconds; None leaves the server's own limit, 0 lifts it.
        limit : rows at most; more are not fetched, and `Result.truncated` says so.
        """
        work = _driver_module().unit_of_work(timeout=timeout)(partial(_run, cypher, params, limit))
        fetch = 1000 if limit is None else max(1, min(limit + 1, 1000))
        with _errors(self.target.uri), self._session("READ", fetch_size=fetch) as session:
            return cast(Result, session.execute_read(work))

    def write(self, cypher: str, params: Params | None = None, *, timeout: float | None = None) -> Result:
        """Run one statement in a write transaction, again after a passing failure: it must be repeatable."""
        return self.transact(lambda run: run(cypher, params), timeout=timeout)

    def transact(self, work: Callable[[Run], T], *, timeout: float | None = None) -> T:
        """Do `work` in one write transaction; an exception undoes it, a passing failure runs it all again.

        `work` gets a function that runs one statement. It must be repeatable: a commit whose answer was
        lost is not known to have happened.
        """

        def with_run(transaction: neo4j.ManagedTransaction) -> T:
            return work(lambda cypher, params: _run(cypher, params, None, transaction))

        unit = _driver_module().unit_of_work(timeout=timeout)(with_run)
        with _errors(self.target.uri), self._session("WRITE") as session:
            return cast(T, session.execute_write(unit))

    def auto(self, cypher: str, params: Params | None = None, *, timeout: float | None = 0) -> Result:
        """Run one statement outside a managed transaction, without a time limit unless given; not retried.

        For `CALL … IN TRANSACTIONS`, schema statements and waits on indexes.
        """
        with _errors(self.target.uri), self._session("WRITE") as session:
            query = _driver_module().Query(cypher, timeout=timeout)
            return _collect(session.run(query, dict(params or {})), None)

    def explain(self, cypher: str, params: Params | None = None) -> Plan:
        """How the server would run the statement; nothing is run."""
        return self._plan(f"EXPLAIN {cypher}", params)

    def profile(self, cypher: str, params: Params | None = None) -> Plan:
        """Run the statement in read mode, drop its rows, and give its plan with database hits."""
        return self._plan(f"PROFILE {cypher}", params)

    def close(self) -> None:
        """Give the sockets back; further use is an error."""
        self._driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _session(self, mode: str, **options: Any) -> neo4j.Session:
        return self._driver.session(database=self.target.database, default_access_mode=mode, **options)

    def _plan(self, cypher: str, params: Params | None) -> Plan:
        with (
            _errors(self.target.uri),
            self._session("READ", notifications_min_severity="INFORMATION") as session,
            warnings.catch_warnings(action="ignore"),  # the notices are what the caller came for
        ):
            result = session.run(cypher, dict(params or {}))
            columns = tuple(result.keys())
            # The server gives a profile only for rows that were fetched.
            for _ in result:
                pass
            summary = result.consume()
        notices = tuple(
            (status.gql_status, status.status_description)
            for status in summary.gql_status_objects
            if status.is_notification
        )
        tree = summary.profile or summary.plan
        if tree is None:
            raise QueryError("the server gave no plan", next_step="leave out EXPLAIN and PROFILE")
        return Plan(summary.query_type or "", PlanNode.of(tree), notices, columns)


def connect(
    settings: Settings | None = None,
    *,
    notify: Notify | None = None,
    retry_seconds: float = 10.0,
    strict: bool = False,
) -> Connection:
    """Open the database of the settings: `NEO4J_URI` if set, else the managed server, started when down.

    Parameters
    ----------
    notify : gets one line before something slow (a start, the first download); nothing is printed here.

    Raises
    ------
    StoreError : as `Connection`, or the managed server cannot start.
    """
    from atlas.store import local

    settings = settings or load_settings()
    target = (
        foreign_target(settings) or local.running_target(settings) or local.start(settings, notify=notify)
    )
    return Connection(target, retry_seconds=retry_seconds, strict=strict)


def foreign_target(settings: Settings) -> Target | None:
    """The database that `NEO4J_URI` names, or None when the managed server is meant."""
    if settings.neo4j_uri is None:
        return None
    password = settings.neo4j_password
    secret = None if password is None else password.get_secret_value()
    return Target(settings.neo4j_uri, settings.neo4j_user, secret, settings.neo4j_database)


def change_password(target: Target, new: str) -> None:
    """Give the target's user the password `new`, sent as a parameter."""
    cypher = "ALTER CURRENT USER SET PASSWORD FROM $old TO $new"
    system = Target(target.uri, target.user, target.password, "system")
    with _errors(target.uri), Connection(system) as connection:
        connection.auto(cypher, {"old": target.password, "new": new})


@cache
def _driver_module() -> ModuleType:
    """The driver, imported on first use, without the data-frame packages it would load for a second."""
    unused = [name for name in ("numpy", "pandas", "pyarrow") if name not in sys.modules]
    sys.modules.update(dict.fromkeys(unused))  # type: ignore[arg-type]
    try:
        import neo4j
        import neo4j.graph
        import neo4j.spatial
        import neo4j.time
    finally:
        for name in unused:
            del sys.modules[name]
    # Without a handler the driver's log would reach the user's terminal.
    logging.getLogger("neo4j").addHandler(logging.NullHandler())
    return neo4j


def _run(
    cypher: str, params: Params | None, limit: int | None, transaction: neo4j.ManagedTransaction
) -> Result:
    return _collect(transaction.run(cypher, dict(params or {})), limit)


def _collect(result: neo4j.Result, limit: int | None) -> Result:
    columns = tuple(result.keys())
    rows: list[tuple[Any, ...]] = []
    truncated = False
    nodes: dict[str, GraphNode] = {}
    for record in result:
        if limit is not None and len(rows) >= limit:
            truncated = True
            break
        rows.append(tuple(v if isinstance(v, PLAIN) else _plain(v, nodes) for v in record.values()))
    summary = result.consume()
    counters = {
        name: value
        for name, value in vars(summary.counters).items()
        if isinstance(value, int) and not isinstance(value, bool) and value and not name.startswith("_")
    }
    spent = (summary.result_available_after or 0) + (summary.result_consumed_after or 0)
    return Result(columns, tuple(rows), truncated, counters, spent)


def _plain(value: Any, nodes: dict[str, GraphNode]) -> Any:
    """A driver value as plain Python; ``nodes`` keeps those of one result, which has each in many paths."""
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, list):
        return [_plain(item, nodes) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item, nodes) for name, item in value.items()}
    driver = _driver_module()
    if isinstance(value, driver.graph.Node):
        if value.element_id not in nodes:
            own = tuple(sorted(value.labels)), _properties(value, nodes)
            nodes[value.element_id] = GraphNode(*own, value.element_id)
        return nodes[value.element_id]
    if isinstance(value, driver.graph.Relationship):
        start, end = (node.element_id if node is not None else "" for node in value.nodes)
        return GraphRelationship(value.type, start, end, _properties(value, nodes), value.element_id)
    if isinstance(value, driver.graph.Path):
        parts = (_plain(list(own), nodes) for own in (value.nodes, value.relationships))
        return GraphPath(*map(tuple, parts))
    if isinstance(value, (driver.time.Date, driver.time.Time, driver.time.DateTime)):
        return value.to_native()
    return tuple(value) if isinstance(value, driver.spatial.Point) else str(value)


def _properties(entity: Any, nodes: dict[str, GraphNode]) -> dict[str, Any]:
    return {name: _plain(entity[name], nodes) for name in sorted(entity)}


@contextmanager
def _errors(where: str) -> Iterator[None]:
    exceptions = _driver_module().exceptions
    try:
        yield
    except (exceptions.Neo4jError, exceptions.DriverError, OSError) as error:
        raise translated(error, where) from error
