"""Text on its way to people: without secrets, without control characters, in one line where one is promised."""

from __future__ import annotations

import base64
import os
import re
from urllib.parse import unquote

MOST_CHARACTERS = 2000  # of one message: what was given may be a whole file
_ENDS = MOST_CHARACTERS // 2

_UNSEEN = re.compile(  # C0 and C1 but for tab and newline, line separators, what turns text around, half surrogates
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_SECRET = re.compile(r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|KEY)(?:_|$)", re.IGNORECASE)
_SHORTEST_SECRET = 8  # characters: a shorter value would be found in ordinary words
_USER_AND_PASSWORD = re.compile(r"(?<=://)[^/\s]+(?=@)")


def visible(text: str) -> str:
    r"""The text with every character that acts instead of showing written out: an escape becomes `\u001b`.

    Newlines and tabs stay. A terminal obeys control characters, whoever wrote them; so does a page's reader a mark that
    turns text around.
    """
    return _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shows(text: str) -> bool:
    """Whether a name can be printed as it is: no control character, newline, tab or half surrogate."""
    return visible(text) == text and not {"\n", "\t"} & set(text)


def without_secrets(text: str) -> str:
    """The text with `***` for user and password in addresses and for what environment variables keep secret.

    Those whose names have a part TOKEN, SECRET, PASSWORD, CREDENTIALS or KEY, such as HF_TOKEN, WANDB_API_KEY and
    AWS_SECRET_ACCESS_KEY, and the passwords in those that hold an address, such as HF_ENDPOINT and HTTPS_PROXY.
    """
    for secret in sorted(_secrets(), key=len, reverse=True):
        text = text.replace(secret, "***")
    return _USER_AND_PASSWORD.sub("***", text)


def _secrets() -> set[str]:
    found = {value for name, value in os.environ.items() if _SECRET.search(name)}
    for value in os.environ.values():
        for pair in _USER_AND_PASSWORD.findall(value):
            plain = unquote(pair)
            basic = base64.b64encode(plain.encode(errors="surrogateescape")).decode()  # as it goes over the wire
            found |= {basic, pair.partition(":")[2], plain.partition(":")[2]}
    return {secret for secret in found if len(secret) >= _SHORTEST_SECRET}


def counted(number: float, noun: str, plural: str | None = None) -> str:
    """`1 study`, `2 studies`, `1,200 rows`: a number and what it counts; `plural` where an s is not enough."""
    return f"{number:,.0f} {noun if number == 1 else plural or noun + 's'}"


def one_line(text: str) -> str:
    """The text without secrets in one line that shows every character; of a long one, beginning and end."""
    line = " ".join(without_secrets(text).split())
    return visible(line if len(line) <= MOST_CHARACTERS else f"{line[:_ENDS]} … {line[-_ENDS:]}")
