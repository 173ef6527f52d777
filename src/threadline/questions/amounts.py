"""Numbers out of properties. Whoever has the browser key can send `NaN`, `inf` or 1e308 as one, so
what no sum can be made of counts as none, and is counted."""

# Millions of such numbers still have a sum. Of NaN the comparison is false.
USABLE = "abs({number}) < 1e200"

NUMBER = "JSONExtractFloat(e.properties, {property})"
VALUE = f"if({USABLE.format(number=NUMBER)}, {NUMBER}, 0)"

# What reads as a number other than 0 needs no second look; most others are not there at all.
SKIPPED = f"""multiIf(
    {NUMBER} != 0 AND {USABLE.format(number=NUMBER)}, FALSE,
    JSONType(e.properties, {{property}}) = 'Null',
        position(e.properties, {{property}}) > 0 AND NOT isValidJSON(e.properties),
    JSONType(e.properties, {{property}}) = 'String',
        NOT ifNull({
    USABLE.format(number="toFloat64OrNull(JSONExtractString(e.properties, {property}))")
}, FALSE),
    JSONType(e.properties, {{property}}) NOT IN ('Int64', 'UInt64', 'Double')
        OR NOT {USABLE.format(number=NUMBER)}
)"""


def value(parameter: str) -> str:
    """SQL for the number that an event `e` has as this property; 0 if it has none. `parameter`: of
    the query, with the property's name."""
    return VALUE.format(property=f"{{{parameter}:String}}")


def skipped(parameter: str) -> str:
    """SQL for whether it has the property, but no usable number there."""
    return SKIPPED.format(property=f"{{{parameter}:String}}")
