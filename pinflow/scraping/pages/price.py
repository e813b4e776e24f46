"""Prices as people and feeds write them: "249.00 EUR", "€1.299,00", "1,299"; and which of two is to pay."""

from __future__ import annotations

import re
from datetime import UTC, datetime

Price = tuple[float | None, str | None]  # amount, ISO 4217 code

_SYMBOLS = {"€": "EUR", "$": "USD", "US$": "USD", "£": "GBP", "¥": "JPY", "₹": "INR"}
_UNIT = r"[A-Za-z]{3}|US\$|[€$£¥₹]"
_PRICE = re.compile(rf"(?P<before>{_UNIT})?\s*(?P<number>\d[\d.,'’\s]{{0,30}})(?P<after>{_UNIT})?")
_CODE = re.compile(r"[A-Z]{3}")


def parse_price(text: str, currency: str | None = None) -> Price:
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


def to_pay(price: Price, sale: Price, period: str | None, now: datetime) -> Price:
    """What a buyer pays at `now`: the sale price where it is one, else the price.

    It is one where it is above zero, below the price, in its currency if both name one, and inside `period`
    (Google's `sale_price_effective_date`: two ISO 8601 times with `/` between) where one is given. Without a
    price there is only the sale price.
    """
    amount, currency = sale
    if not amount or (period and not _inside(period, now)):
        return price
    if price[0] is None:
        return sale
    if amount >= price[0] or (currency and price[1] and currency != price[1]):
        return price
    return amount, currency or price[1]


def _inside(period: str, now: datetime) -> bool:
    start, _, end = period.partition("/")
    try:
        first, last = (datetime.fromisoformat(text.strip()) for text in (start, end))
    except ValueError:
        return False
    # Times without a zone are taken for UTC.
    first, last = (time if time.tzinfo else time.replace(tzinfo=UTC) for time in (first, last))
    return first <= now <= last
