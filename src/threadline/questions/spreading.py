"""One amount divided over several rows, so that nothing of it gets lost."""

from string import Template

from threadline.questions.event_money import DECIMALS

# By floats, but the part of the greatest weight is what is left of the whole.
SPREAD = Template(f"""indexOf($weights, arrayMax($weights)) AS ${{name}}_most,
        arrayMap(
            (weight, nth) -> toDecimal256(
                if(nth = ${{name}}_most, 0, toFloat64($amount) * weight)
                    + if($amount < 0, -5e-10, 5e-10),
                {DECIMALS}
            ),
            $weights, arrayEnumerate($weights)
        ) AS ${{name}}_others,
        arrayMap(
            (part, nth) -> if(nth = ${{name}}_most, $amount - arraySum(${{name}}_others), part),
            ${{name}}_others, arrayEnumerate(${{name}}_others)
        ) AS $name""")


def spread(amount: str, weights: str, name: str) -> str:
    """SQL for a column `name`, and what it is made of: the amount divided by the weights, which
    together are 1, so that the parts are exactly the whole again."""
    return SPREAD.substitute(amount=amount, weights=weights, name=name)
