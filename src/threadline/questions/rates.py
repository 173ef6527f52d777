"""Exchange rates, as questions read them."""

from collections.abc import Mapping

# Of a day without a rate, such as Sunday, the last one before counts, but none that is older.
MAX_AGE_DAYS = 7

# `exchange_rates`: (currency, day, per_euro, wanted_per_euro), the last of the currency that is
# asked for, `{currency:String}`. Both are of one day, so that they fit each other.
RATES: Mapping[str, str] = {
    "known_rates": """\
SELECT toString(currency) AS currency, day, latest.per_euro AS per_euro
FROM exchange_rates FINAL
WHERE latest.per_euro > 0""",
    "rates": """\
SELECT k.currency AS currency, k.day AS day, k.per_euro AS per_euro, w.per_euro AS wanted_per_euro
FROM known_rates AS k
INNER JOIN (
    SELECT day, per_euro FROM known_rates WHERE currency = {currency:String}
) AS w ON w.day = k.day""",
}
