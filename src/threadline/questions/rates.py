"""Exchange rates, as questions read them."""

from collections.abc import Mapping

# Of a day without a rate, such as Sunday, the last one before counts, but none that is older.
MAX_AGE_DAYS = 7

# `rates`: (currency, day, per_euro, wanted_per_euro), the last of the currency that is asked for,
# `{currency:String}`. Both are of one day, so that they fit each other.
#
# By its name, FINAL would read a part of the tuple from whichever row comes first.
RATES: Mapping[str, str] = {
    "known_rates": """\
SELECT toString(currency) AS currency, day, latest.2 AS per_euro
FROM exchange_rates FINAL
WHERE latest.2 > 0""",
    "rates": """\
SELECT k.currency AS currency, k.day AS day, k.per_euro AS per_euro, w.per_euro AS wanted_per_euro
FROM known_rates AS k
INNER JOIN (
    SELECT day, per_euro FROM known_rates WHERE currency = {currency:String}
) AS w ON w.day = k.day""",
}
