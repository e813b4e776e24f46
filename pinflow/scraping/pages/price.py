"""Prices as people and feeds write them: "249.00 EUR", "€1.299,00", "1,299"."""

from __future__ import annotations

import re

_SYMBOLS = {"€": "EUR", "$": "USD", "US$": "USD", "£": "GBP", "¥": "JPY", "₹": "INR"}
_UNIT = r"[A-Za-z]{3}|US\$|[€$£¥₹]"
_PRICE = re.compile(rf"(?P<before>{_UNIT})?\s*(?P<number>\d[\d.,'’\s]{{0,30}})(?P<after>{_UNIT})?")
_CODE = re.compile(r"[A-Z]{3}")


def parse_price(text: str, currency: str | None = None) -> tuple[float | None, str | None]:
    """Amount and ISO 4217 code. `currency` is used where the text names none; (None, None) for no price.

    Where both `.` and `,` occur, the last one is the decimal sign. A lone comma before exactly three
    digits separates thousands; a lone dot is always the decimal sign.
    """
    match = _PRICE.fullmatch(text.strip())
    amount = _number(match["number"]) if match else None
    if match is None or amount is None:
        return None, None
    return amount, _code(match["before"]) or _code(match["after"]) or _code(currency)


def _code(unit: str | None) -> str | None:
    if not unit:
        return None
    code = _SYMBOLS.get(unit.strip(), unit.strip().upper())
    return code if _CODE.fullmatch(code) else None


def _number(text: str) -> float | None:
    digits = re.sub(r"['’\s]", "", text).rstrip(".,")
    dot, comma = digits.rfind("."), digits.rfind(",")
    if dot >= 0 and comma >= 0:
        thousands, decimal = (",", ".") if dot > comma else (".", ",")
    elif digits.count(".") > 1 or (digits.count(",") == 1 and len(digits) - comma - 1 != 3):
        thousands, decimal = ".", ","
    else:
        thousands, decimal = ",", "."
    whole, _, fraction = digits.partition(decimal)
    groups = whole.split(thousands)
    if any(len(group) != 3 for group in groups[1:]) or not all(g.isdecimal() for g in groups):
        return None
    if fraction and not fraction.isdecimal():
        return None
    return float(f"{''.join(groups)}.{fraction or 0}")
