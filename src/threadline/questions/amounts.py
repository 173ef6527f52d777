"""Numbers out of properties. Whoever has the browser key can send `NaN`, `inf` or 1e308 as one, so
what no sum can be made of counts as none, and is counted."""

# Looked up once: a number, a text with its quotes, `null`; empty if there is no such property.
RAW = "JSONExtractRaw(e.properties, {property})"
NUMBER = f"toFloat64OrNull(replaceAll({RAW}, '\"', ''))"
# Millions of such numbers still have a sum. Of NaN the comparison is false.
USABLE = f"ifNull(abs({NUMBER}) < 1e200, FALSE)"

VALUE = f"if({USABLE}, assumeNotNull({NUMBER}), 0)"

# Where one number is out of all bounds, the engine cannot read any of the properties.
SKIPPED = f"""multiIf(
    {RAW} = '', position(e.properties, {{property}}) > 0 AND NOT isValidJSON(e.properties),
    {RAW} != 'null' AND NOT {USABLE}
)"""


def value(parameter: str) -> str:
    """SQL for the number that an event `e` has as this property; 0 if it has none. `parameter`: of
    the query, with the property's name."""
    return VALUE.format(property=f"{{{parameter}:String}}")


def skipped(parameter: str) -> str:
    """SQL for whether it has the property, but no usable number there."""
    return SKIPPED.format(property=f"{{{parameter}:String}}")
