"""Numbers out of properties. Whoever has the browser key can send `NaN`, `inf` or 1e308 as one, so
what no sum can be made of counts as none, and is counted."""

from string import Template

# Looked up once: a number, a text with its quotes, `null`; empty if there is no such property.
RAW = "JSONExtractRaw(e.properties, {$name:String})"
NUMBER = f"toFloat64OrNull(replaceAll({RAW}, '\"', ''))"
# Millions of such numbers still have a sum. Of NaN the comparison is false.
USABLE = f"ifNull(abs({NUMBER}) < 1e200, FALSE)"

VALUE = Template(f"if({USABLE}, assumeNotNull({NUMBER}), 0)")

# Where one number is out of all bounds, the engine cannot read any of the properties.
SKIPPED = Template(f"""multiIf(
            {RAW} = '',
            position(e.properties, {{$name:String}}) > 0 AND NOT isValidJSON(e.properties),
            {RAW} != 'null' AND NOT {USABLE}
        )""")


def value(name: str) -> str:
    """SQL for the number that an event `e` has as this property; 0 if it has none. `name`: of the
    value of the query that is the property's name."""
    return VALUE.substitute(name=name)


def skipped(name: str) -> str:
    """SQL for whether it has the property, but no usable number there."""
    return SKIPPED.substitute(name=name)
