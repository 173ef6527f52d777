"""The money of one event, as SQL reads it out of its properties: exact, or none."""

import re
from string import Template

# How many an amount keeps.
DECIMALS = 9
# Names that the engine takes as those of a tuple's parts. Both properties are found in one go then,
# which is half of what reading amounts costs.
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
IN_ONE = "JSONExtract(e.properties, {amount_shape:String})"
ONE_BY_ONE = """(
            JSONExtract(e.properties, {amount:String}, 'Nullable(String)'),
            JSONExtract(e.properties, {amount_currency:String}, 'Nullable(String)')
        )"""
ALONE = "(JSONExtract(e.properties, {amount:String}, 'Nullable(String)'), NULL)"
MONEY_TYPE = (
    f"Tuple(amount Decimal(76, {DECIMALS}), code String, counted Bool, skipped Bool, rounded Bool)"
)
# Of which any number still has a sum, and an exchange value. Of NaN the comparison is false. The
# engine reads 1.2.3 as a decimal, but not as a float, so what is a number is for the float to say.
BELOW = "1e30"
# Of a float below a million the 9th decimal is sure: as a whole number it is below 2 to the 53rd.
# That is far faster than reading the text once more. What is behind goes with the rounding, so that
# 0.30000000000000004 is 0.3.
SHORT = """toDecimal256(reinterpret(
                    toInt64(round(assumeNotNull(amount_float) * 1e9)), 'Decimal(18, 9)'
                ), 9)"""
LONG = """toDecimal256(
                    round(assumeNotNull(toDecimal256OrNull(amount_text, 18)), 9), 9
                )"""
# Where one number is out of all bounds, the engine cannot read any of the properties. What rounding
# takes away is told only where it matters: a billionth of the amount or more.
MONEY = Template(f"""CAST((
            multiIf(
                NOT (ifNull(abs(toFloat64OrNull(
                    ifNull(tupleElement($found AS amount_found, 1), '') AS amount_text
                ) AS amount_float) < {BELOW}, FALSE) AS amount_usable),
                0,
                abs(amount_float) < 1e6,
                {SHORT},
                {LONG}
            ) AS amount_exact,
            substring(upper(trimBoth(ifNull(tupleElement(amount_found, 2), ''))), 1, 4),
            amount_usable,
            if(
                isNull(tupleElement(amount_found, 1)),
                position(e.properties, {{amount:String}}) > 0 AND NOT isValidJSON(e.properties),
                NOT amount_usable
            ),
            amount_usable
                AND abs(amount_float - toFloat64(amount_exact)) > abs(amount_float) * 1e-9
        ) AS {MONEY_TYPE})""")


def money(name: str, currency_property: str | None) -> str:
    """SQL for the money of an event `e`: its `amount`, 0 without one, and the beginning of the
    `code` of its currency, see `amounts.CURRENCY`; whether it is `counted`, that is, has an amount;
    `skipped`: it has the property, but no usable number there; `rounded`: it lost decimals.
    `currency_property`: None if amounts have no currency."""
    if currency_property is None:
        return MONEY.substitute(found=ALONE)
    return MONEY.substitute(found=IN_ONE if shape_of(name, currency_property) else ONE_BY_ONE)


def shape_of(name: str, currency_property: str) -> str:
    """The type of a tuple with both, or nothing where the engine has no such type."""
    names = [name, currency_property]
    if len(set(names)) < len(names) or not all(map(PLAIN.fullmatch, names)) or "null" in names:
        return ""
    return f"Tuple({', '.join(f'{each} Nullable(String)' for each in names)})"
