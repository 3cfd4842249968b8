"""Messages for people: without secrets, without control characters, in one line where one is promised."""

from __future__ import annotations

import base64
import json
import math
import os
import re
import unicodedata
from collections.abc import Callable
from urllib.parse import unquote

MOST_CHARACTERS = 2000  # of one message: what was given may be a whole file
_ENDS = MOST_CHARACTERS // 2

_PERHAPS_UNSEEN = re.compile(r"[^\n\t -~]")
_NO_LOOK = re.compile(  # letters and marks without a look of their own: Unicode's Default_Ignorable_Code_Point
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_EMOJI = re.compile("[\U0001f000-\U0001faff]")
_JOINED = re.compile(  # marks that scripts and emoji need unseen: a joiner between letters, a form behind a sign
    "(?<=[\u0600-\u1cff\ua840-\uaaff])[\u200c\u200d](?=[\u0600-\u1cff\ua840-\uaaff])"
    "|(?<=[\u203c-\u3299\U0001f000-\U0001faff])\ufe0f?\u200d(?=[\u203c-\u3299\U0001f000-\U0001faff])"
    "|(?<=[#*0-9\u203c-\u3299\U0001f000-\U0001faff])\ufe0f"
)
_SECRET = re.compile(r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|KEY)(?:_|$)", re.IGNORECASE)
_SHORTEST_SECRET = 8  # characters: a shorter value would be found in ordinary words
_USER_AND_PASSWORD = re.compile(r"(?<=://)[^/\s]+(?=@)")


def visible(text: str) -> str:
    r"""The text with every character that acts or hides instead of showing written out: an escape becomes `\u001b`.

    Controls, marks that turn text around, what has no look of its own, halves of a pair, and what Unicode gives to no
    character. Newlines, tabs and spaces stay, and so do joiners where a script or an emoji is written with them. A
    terminal obeys control characters, whoever wrote them; so does a page's reader a mark that turns text around.
    """
    return _with_unseen(text, _python_escape)


def visible_json(text: str) -> str:
    """Return JSON with the same characters as escapes of JSON."""
    return _with_unseen(text, lambda character: json.dumps(character)[1:-1])


def shows(text: str) -> bool:
    """Whether a name can be printed as it is: every character of it is seen, and it is one line without tabs."""
    return visible(text) == text and not {"\n", "\t"} & set(text)


def _with_unseen(text: str, written: Callable[[str], str]) -> str:
    """Return the text with every character that is not seen written in another way."""
    if not _PERHAPS_UNSEEN.search(text):
        return text
    needed = {place for sequence in _JOINED.finditer(text) for place in range(*sequence.span())}

    def shown(match: re.Match[str]) -> str:
        return match[0] if _is_seen(match[0]) or match.start() in needed else written(match[0])

    return _PERHAPS_UNSEEN.sub(shown, text)


def _is_seen(character: str) -> bool:
    """Whether it has a look of its own, or is a space. Of the emoji's block all do, also those of a later Unicode."""
    known = character.isprintable() or unicodedata.category(character) == "Zs" or _EMOJI.match(character)
    return bool(known) and not _NO_LOOK.match(character)


def _python_escape(character: str) -> str:
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"


def without_secrets(text: str) -> str:
    """The text with `***` for user and password in addresses and for what environment variables keep secret.

    Those whose names have a part TOKEN, SECRET, PASSWORD, CREDENTIALS or KEY, such as HF_TOKEN, WANDB_API_KEY and
    AWS_SECRET_ACCESS_KEY, and the passwords in those that hold an address, such as HF_ENDPOINT and HTTPS_PROXY.
    """
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = text.replace(secret, "***")
    return _USER_AND_PASSWORD.sub("***", text)


def _secrets() -> set[str]:
    values = {value for name, value in os.environ.items() if _SECRET.search(name)}
    for value in os.environ.values():
        for pair in _USER_AND_PASSWORD.findall(value):
            plain = unquote(pair)
            basic = base64.b64encode(plain.encode(errors="surrogateescape")).decode()  # as it goes over the wire
            values |= {basic, pair.partition(":")[2], plain.partition(":")[2]}
    return {secret for secret in values if len(secret) >= _SHORTEST_SECRET}


def counted(number: float, noun: str, plural: str | None = None) -> str:
    """`1 study`, `2 studies`, `1,200 rows`: a number and what it counts; `plural` where an s is not enough."""
    return f"{number:,.0f} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """In the largest unit that gives at least two of it, or seconds."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def one_line(text: str) -> str:
    """The text without secrets in one line that shows every character; of a long one, beginning and end."""
    line = visible(" ".join(without_secrets(text).split()))
    return line if len(line) <= MOST_CHARACTERS else f"{line[:_ENDS]} … {line[-_ENDS:]}"


def decimals(value: float, *, minus: str = "-") -> str:
    """Three decimals without the leading zero: `.079`, `-.012`, `1.000`; unbounded: `∞`, unknown: a dash."""
    if math.isnan(value):
        return "–"
    sign, digits = (minus if value < 0 else ""), f"{abs(value):.3f}"
    if math.isinf(value):
        return f"{sign}∞"
    if float(digits) == 0:
        return ".000"
    return sign + (digits[1:] if digits.startswith("0.") else digits)


def signed_decimals(value: float, *, minus: str = "-") -> str:
    """The same with a plus sign before what is above 0: `+.031`, `-.012`, `.000`."""
    text = decimals(value, minus=minus)
    return f"+{text}" if value > 0 and text != ".000" else text
