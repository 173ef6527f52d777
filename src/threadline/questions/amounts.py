"""Amounts of money, or of anything, out of properties: exact, and each with its currency.

Whoever has the browser key can send `NaN`, `inf` or 1e308 as one, so what no sum can be made of
counts as none, and is counted. Amounts are decimals, so 0.1 and 0.2 are 0.3, and those of several
currencies are never added up: they are converted, or stay apart.

A query takes four steps, each a piece of SQL:

1. `read` gives each event `e` its `money`, a tuple with names (`event_money`).
2. Where one amount is spread over several rows, `spreading` divides it so that nothing gets lost.
3. `sums` adds up rows with `currency`, `amount`, `counted` and `day`; to convert them, they are
   joined with `rates` as `join_rates` says.
4. `Totals.of` reads what came, `as_values` says how answers show it, `warnings` what is to know.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from decimal import Context, Decimal
from string import Template
from typing import Annotated, Self

import msgspec

from threadline.contract.errors import InvalidParams
from threadline.questions.event_money import DECIMALS, money, shape_of
from threadline.questions.rates import MAX_AGE_DAYS
from threadline.questions.warned import AnswerWarning, skipped_values
from threadline.store import Row

# In answers what has no currency stands under this beside what has one. As `currency_property`:
# amounts are numbers of no currency, whatever else the events say.
NONE = "none"

CurrencyProperty = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        description="The property with the amount's currency, such as EUR. `none`: amounts are "
        "plain numbers.",
    ),
]
Currency = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z]{3}$",
        description="Convert amounts to this currency, at the rate of each event's day (UTC).",
        extra={"write": "write the three letters of a currency, such as EUR"},
    ),
]
# A number, or by currency.
Value = Annotated[
    float | dict[str, float],
    msgspec.Meta(
        description="A number if no amount has a currency, or `currency` is given; else a sum for "
        f"each currency, and under `{NONE}` of what has none."
    ),
]
Unconverted = Annotated[
    dict[str, float] | msgspec.UnsetType,
    msgspec.Meta(
        description="With `currency`: sums, by currency, of the amounts that have no rate, or "
        f"(`{NONE}`) no currency. They are in no value."
    ),
]


@dataclass(frozen=True)
class Amounts:
    """What a question wants to know. `name`: of the property with the amount, `parameter`: of the
    one that says so; `currency`: to convert to, or ""."""

    name: str
    parameter: str
    currency_property: str = "currency"
    currency: str = ""

    @property
    def values(self) -> dict[str, object]:
        """What the SQL here binds."""
        return {
            "amount": self.name,
            "amount_currency": self.currency_property,
            "amount_shape": shape_of(self.name, self.currency_property),
            "currency": self.currency,
        }


def asked(
    parameter: str, name: str, currency_property: str, currency: str | None = None
) -> Amounts:
    """As `Amounts`; codes of currencies are upper case."""
    return Amounts(name, parameter, currency_property, (currency or "").upper())


def refuse_currency(given: str | None, needs: str) -> None:
    """Raises `InvalidParams` for a `currency` where there are no amounts to convert."""
    if given is not None:
        message = f"goes with {needs}; add that, or leave currency out"
        raise InvalidParams(f"Parameter currency: {message}.", fieldErrors={"currency": [message]})


# Of `money`, or of rows that are grouped by its code: the currency, '' without one, and whether
# there is something else in its place. That is cheaper to say of groups than of events.
CODED = "(length(money.code) = 3 AND NOT match(money.code, '[^A-Z]'))"
CURRENCY = f"if({CODED}, money.code, '')"
MISCODED = f"(money.code != '' AND NOT {CODED})"


def read(amounts: Amounts) -> str:
    """SQL for the `money` of an event `e`."""
    has_currency = amounts.currency_property != NONE
    return money(amounts.name, amounts.currency_property if has_currency else None)


# Of rows without an amount there is neither sum nor count, and their currency is left out.
BY_CURRENCY = Template("sumMap([$row.currency], [$row.amount$n], [$row.counted$n]) AS amounts$n")
HAS_RATE = f"""(
        $row.currency = {{currency:String}}
        OR (r.per_euro > 0 AND $row.day <= r.day + {MAX_AGE_DAYS})
    )"""
# What is large is converted as a float, since a decimal would be too long on the way. Where there
# is no rate, the division would be one by zero.
IS_SHORT = "(abs($row.amount$n) < toDecimal256('1e18', 0))"
PER_EURO = "if(r.per_euro > 0, r.per_euro, 1)"
IN_CURRENCY = f"""if(
            $row.currency = {{currency:String}},
            toDecimal256($row.amount$n, 21),
            if({IS_SHORT}, $row.amount$n, 0) * r.wanted_per_euro / {PER_EURO} + toDecimal256(
                if({IS_SHORT}, 0, toFloat64($row.amount$n)) * toFloat64(r.wanted_per_euro)
                    / toFloat64({PER_EURO}),
                9
            )
        )"""
CONVERTED = Template(f"""sumIf(
        {IN_CURRENCY},
        {HAS_RATE}
    ) AS converted$n,
    sumIf($row.counted$n, {HAS_RATE}) AS have_rate$n,
    sumMapIf(
        [$row.currency], [$row.amount$n], [$row.counted$n], NOT {HAS_RATE}
    ) AS amounts$n""")
JOIN_RATES = Template(
    "ASOF LEFT JOIN rates AS r ON r.currency = $row.currency AND r.day <= $row.day"
)


def sums(amounts: Amounts, row: str, n: str = "") -> str:
    """SQL for what `Totals.of` reads: sums of a relation's rows, of which `row` is the name, that
    have `currency`, `amount`, `counted` (how many, or a part of one), and to convert them `day`.
    `n`: stands behind `amount` and `counted`, where there are several."""
    return (CONVERTED if amounts.currency else BY_CURRENCY).substitute(row=row, n=n)


def in_currency(row: str) -> tuple[str, str]:
    """SQL for the amount of one such row in the currency that is asked for, and for whether it has
    a rate."""
    slots = {"row": row, "n": ""}
    return Template(IN_CURRENCY).substitute(slots), Template(HAS_RATE).substitute(slots)


def join_rates(amounts: Amounts, row: str) -> str:
    """What stands behind this relation in FROM, for `sums`."""
    return JOIN_RATES.substitute(row=row) if amounts.currency else ""


@dataclass
class Totals:
    """Sums by currency, '' of what has none; `converted`, and how many amounts that are, if they
    were to be. `amounts` are then those without a rate."""

    amounts: dict[str, Decimal]
    converted: Decimal = Decimal(0)
    have_rate: float = 0

    @classmethod
    def of(cls, row: Row, n: str = "") -> Self:
        """Taken out of a row of the store that has `sums`."""
        codes, amounts, _ = row.pop(f"amounts{n}")
        return cls(
            dict(zip(codes, amounts, strict=True)),
            Decimal(row.pop(f"converted{n}", 0)),
            row.pop(f"have_rate{n}", 0),
        )

    @property
    def is_empty(self) -> bool:
        """There was no amount at all."""
        return not self.amounts and not self.have_rate


# As many digits as the engine has; Python's own decimals end at the 28th.
DIGITS = Context(prec=76)
LAST_DECIMAL = Decimal(1).scaleb(-DECIMALS)


def as_values(amounts: Amounts, totals: Sequence[Totals]) -> list[float | dict[str, float]]:
    """How an answer shows these, in all its rows alike."""
    if amounts.currency:
        return [_number(each.converted) for each in totals]
    if not any(code for each in totals for code in each.amounts):
        return [_number(each.amounts.get("", Decimal(0))) for each in totals]
    return [by_currency(each) for each in totals]


def rest(amounts: Amounts, every: Totals, shown: Sequence[Totals]) -> float | dict[str, float]:
    """What there is in all beside these, as an answer shows it."""
    left = Totals(dict(every.amounts), every.converted, every.have_rate)
    for each in shown:
        left.converted = DIGITS.subtract(left.converted, each.converted)
        for code, amount in each.amounts.items():
            left.amounts[code] = DIGITS.subtract(left.amounts.get(code, Decimal(0)), amount)
    if not amounts.currency and any(every.amounts):
        return by_currency(left)
    (value,) = as_values(amounts, [left])
    return value


def unconverted(amounts: Amounts, totals: Iterable[Totals]) -> Unconverted:
    """All amounts of these rows that should have been converted, but have no rate."""
    if not amounts.currency:
        return msgspec.UNSET
    left: dict[str, Decimal] = {}
    for each in totals:
        for code, amount in each.amounts.items():
            left[code] = DIGITS.add(left.get(code, Decimal(0)), amount)
    return by_currency(Totals(left)) if left else msgspec.UNSET


def by_currency(totals: Totals) -> dict[str, float]:
    """By the code of the currency, and last what has none."""
    named = sorted(totals.amounts.items(), key=lambda each: (not each[0], each[0]))
    return {code or NONE: _number(amount) for code, amount in named}


def _number(amount: Decimal) -> float:
    """The nearest float: JSON has its first 15 digits as they are."""
    return float(DIGITS.quantize(amount, LAST_DECIMAL))


@dataclass
class Doubts:
    """How many amounts there is something to say of; as `read` tells it."""

    skipped: int = 0
    rounded: int = 0
    miscoded: int = 0

    @classmethod
    def of(cls, row: Row) -> Self:
        """Taken out of a row of the store with such columns."""
        return cls(*(round(row.pop(each.name)) for each in fields(cls)))

    @classmethod
    def together(cls, rows: Iterable[Self]) -> Self:
        """Of all these rows."""
        found = cls()
        for row in rows:
            found.skipped += row.skipped
            found.rounded += row.rounded
            found.miscoded += row.miscoded
        return found


def warnings(amounts: Amounts, doubts: Doubts, left: Unconverted) -> list[AnswerWarning]:
    """What there is to know about an answer. `left`: its `unconverted`."""
    found = skipped_values(amounts.parameter, amounts.name, doubts.skipped)
    if doubts.rounded:
        message = (
            f"{_events(doubts.rounded)} a {amounts.name!r} with more than {DECIMALS} decimals; it "
            f"counts rounded to {DECIMALS}."
        )
        found.append(AnswerWarning("rounded_values", amounts.parameter, message))
    if doubts.miscoded:
        message = (
            f"{_events(doubts.miscoded)} a {amounts.currency_property!r} that is not a currency "
            "code such as EUR; the amount counts as one without a currency."
        )
        found.append(AnswerWarning("unknown_currency", "currency_property", message))
    if left is not msgspec.UNSET:
        found.append(AnswerWarning("no_rate", "currency", _no_rate(amounts, left)))
    return found


def _events(many: int) -> str:
    return "One event has" if many == 1 else f"{many} events have"


def _no_rate(amounts: Amounts, left: Mapping[str, float]) -> str:
    codes = [code for code in left if code != NONE]
    parts = []
    if codes:
        parts.append(
            f"Of some amounts in {', '.join(codes)} there is no rate to {amounts.currency} for "
            f"their day, nor for the {MAX_AGE_DAYS} days before; `threadline rates` shows what is "
            "loaded, `threadline rates import` loads more."
        )
    if NONE in left:
        parts.append("Some amounts have no currency.")
    return f"{' '.join(parts)} They are in no value, but in unconverted."
