"""How a state that follows from events is defined: by what events are told apart, what is kept of
them, and the statements that make it."""

from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import indent


@dataclass(frozen=True)
class DerivedColumn:
    """`sql`: its value of an event `e`; empty: it follows from the others by `default`."""

    name: str
    type: str
    sql: str
    codec: str = ""
    default: str = ""

    @property
    def declared(self) -> str:
        codec = f"CODEC({self.codec})" if self.codec else ""
        return " ".join(filter(None, [self.name, self.type, self.default, codec]))


@dataclass(frozen=True)
class Value(DerivedColumn):
    """A column that is aggregated by `function` over the events of a key. `compared`: all rows that
    follow from the same events have the same, so that a check may compare it."""

    function: str = "min"
    compared: bool = True

    @property
    def declared(self) -> str:
        codec = f" CODEC({self.codec})" if self.codec else ""
        return f"{self.name} SimpleAggregateFunction({self.function}, {self.type}){codec}"

    @property
    def aggregated(self) -> str:
        return f"{self.function}({self.sql})"


@dataclass(frozen=True)
class State:
    """`key`: one row for each, once parts are merged. `where`: which events `e` count.
    `derived`: columns that readers see besides. `order`: of the table. `folded`: by what events are
    grouped first, which costs less where few of them differ in it; the columns of `key` then are
    of rows `e` with these columns."""

    table: str
    key: tuple[DerivedColumn, ...]
    values: tuple[Value, ...]
    order: str
    where: str = "TRUE"
    derived: tuple[DerivedColumn, ...] = ()
    folded: tuple[DerivedColumn, ...] = ()
    index: str = ""
    partition: str = ""
    settings: str = ""

    @property
    def has_sums(self) -> bool:
        """Whether adding an event twice changes something."""
        return any(value.function == "sum" for value in self.values)

    @property
    def columns(self) -> str:
        """Those that are inserted."""
        return ", ".join(column.name for column in (*self.key, *self.values))

    @property
    def key_columns(self) -> str:
        return ", ".join(column.name for column in self.key)

    @property
    def compared(self) -> str:
        """The values that a check compares."""
        return ", ".join(value.name for value in self.values if value.compared)

    @property
    def merged(self) -> str:
        """The same of rows `s` of a key that lie in several parts."""
        return ", ".join(
            f"{value.function}(s.{value.name}) AS {value.name}"
            for value in self.values
            if value.compared
        )

    def of_each_event(self, where: str, events: str) -> str:
        """SELECT of the same columns, a row for each of these events `e` of a relation."""
        columns = ",\n    ".join(f"{each.sql} AS {each.name}" for each in (*self.key, *self.values))
        return f"SELECT {columns}\nFROM {events} AS e\nWHERE {self.where} AND ({where})"

    def from_events(self, where: str = "TRUE", events: str = "events") -> str:
        """SELECT of the state's columns: what it says of these events `e`, which are read from
        the table or from a relation `events` with its columns."""
        keys = self.folded or self.key
        aggregated = [f"{value.aggregated} AS {value.name}" for value in self.values]
        sql = _grouped(keys, aggregated, f"{events} AS e\nWHERE {self.where} AND ({where})")
        if not self.folded:
            return sql
        again = [f"{value.function}(e.{value.name}) AS {value.name}" for value in self.values]
        return _grouped(self.key, again, f"(\n{indent(sql, '    ')}\n) AS e")


def _grouped(keys: tuple[DerivedColumn, ...], aggregated: list[str], source: str) -> str:
    selected = ",\n    ".join([*(f"{key.sql} AS {key.name}" for key in keys), *aggregated])
    return f"SELECT {selected}\nFROM {source}\nGROUP BY {', '.join(key.sql for key in keys)}"


def create_table(chosen: State, name: str, values: Mapping[str, str]) -> str:
    """Statement that makes the state's table under this name. `values`: see `tables.ONE_NODE`."""
    columns = [column.declared for column in (*chosen.key, *chosen.values)]
    for column in chosen.derived:
        columns.append(f"{column.name} {column.type} MATERIALIZED {column.sql}")
        columns[-1] += f" CODEC({column.codec})"
    if chosen.index:
        columns.append(chosen.index)
    partition = f"PARTITION BY {chosen.partition}\n" if chosen.partition else ""
    body = ",\n    ".join(columns)
    return (
        f"CREATE TABLE IF NOT EXISTS {name} {values['on_cluster']} (\n    {body}\n)\n"
        f"ENGINE = {values['engine_aggregating']}\n{partition}ORDER BY ({chosen.order})\n"
        f"SETTINGS {values['settings']}{chosen.settings}"
    )


def create_view(chosen: State, values: Mapping[str, str]) -> str:
    """Statement that makes the view which keeps the state."""
    return (
        f"CREATE MATERIALIZED VIEW IF NOT EXISTS {chosen.table}_mv {values['on_cluster']}"
        f" TO {chosen.table} AS\n{chosen.from_events()}"
    )
