"""Read a certificate as what it is: bytes of unknown origin. Nothing is evaluated; what is not canonical is refused.

Canonical is one line of JSON, UTF-8, keys sorted, no spaces, with no number but integers: one object has one text.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import Any

from .terms import Refused

BYTES = 64 << 20  # the largest certificate
DIGITS = 400  # of the longest number
FIELDS = ("claims", "digest", "gradproof", "graphs", "ops", "schema", "sha256", "source", "terms", "trusted", "uses")
SCHEMA = 1


def load(path: str) -> bytes:
    """The bytes of a file, if there are not too many; its size is asked before it is read."""
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > BYTES:
                raise Refused(f"the file is larger than {BYTES >> 20} MiB")
            data = file.read(BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise Refused(f"the file can't be read: {getattr(error, 'strerror', None) or error}") from None
    return data


def parse(data: bytes) -> dict[str, Any]:
    """The object that the bytes are the canonical text of, its digests checked; Refused otherwise."""
    if len(data) > BYTES:
        raise Refused(f"it is larger than {BYTES >> 20} MiB")
    bare = re.sub(rb'"(?:[^"\\]|\\.)*"', b"", data)
    if re.search(rb"[0-9]{%d}|true|false" % DIGITS, bare):
        raise Refused(f"there is a truth value, or a number of {DIGITS} digits or more")
    try:
        found = json.loads(data.decode(), object_pairs_hook=_object, parse_float=_number, parse_constant=_number)
    except UnicodeDecodeError as error:
        raise Refused(f"byte {error.start} is no UTF-8") from None
    except json.JSONDecodeError as error:
        raise Refused(f"it is no JSON: {error.msg} at character {error.pos}") from None
    except RecursionError:
        raise Refused("it is nested too deeply") from None
    found = exactly(found, FIELDS, "the certificate")
    if canonical(found) != data:
        raise Refused("the bytes are not canonical: keys sorted, no spaces, UTF-8, one line")
    if found["schema"] != SCHEMA or type(found["schema"]) is not int:
        raise Refused(f"schema {SCHEMA} is expected")
    if found["digest"] != digest_of(data, found["digest"]):
        raise Refused("the digest is another: the file was changed or cut after it was written")
    for key, kind in (("gradproof", str), ("source", str), ("terms", list), ("ops", dict), ("graphs", dict)):
        if type(found[key]) is not kind:
            raise Refused(f"`{key}` should be {kind.__name__}")
    if found["sha256"] != hashlib.sha256(found["source"].encode()).hexdigest():
        raise Refused("the hash is another source's")
    return found


def digest_of(data: bytes, digest: object) -> str:
    """The hash of a certificate's bytes, its own field `digest` being empty."""
    return hashlib.sha256(data.replace(f'"digest":"{digest}"'.encode(), b'"digest":""', 1)).hexdigest()


def canonical(value: object) -> bytes:
    """The one text of a value."""
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    except (UnicodeEncodeError, RecursionError):
        raise Refused("a text is no Unicode, or it is nested too deeply") from None


def exactly(value: Any, fields: tuple[str, ...], what: str) -> dict[str, Any]:
    """`value`, if it is an object with these fields and no others."""
    if type(value) is not dict:
        raise Refused(f"{what} is no object")
    if value.keys() != set(fields):
        odd = sorted(value.keys() ^ set(fields))
        raise Refused(f"{what}: the field `{odd[0]}` is {'unknown' if odd[0] in value else 'missing'}")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise Refused(f"the field `{next(k for k in keys if keys.count(k) > 1)}` is given twice")
    return found


def _number(text: str) -> Any:
    raise Refused(f"{text[:20]} is no integer")
