"""Reads a list of connection strings, as JSON, and prints how libpq parses each: parameters, or null if it refuses."""

import ctypes
import json
import sys

from psycopg2 import _psycopg, extensions


class Option(ctypes.Structure):
    """PQconninfoOption"""

    _fields_ = [(name, ctypes.c_char_p) for name in ("keyword", "envvar", "compiled", "val", "label", "dispchar")]
    _fields_ += [("dispsize", ctypes.c_int)]


def keywords():
    """All keywords of libpq with their environment variables, which psycopg2 itself does not provide."""
    defaults = ctypes.CDLL(_psycopg.__file__).PQconndefaults
    defaults.restype = ctypes.POINTER(Option)
    found = {}
    for option in defaults():
        if option.keyword is None:
            return found
        found[option.keyword.decode()] = option.envvar and option.envvar.decode()


def answer(text):
    try:
        return extensions.parse_dsn(text)
    # The second: the result is not valid text.
    except (_psycopg.ProgrammingError, UnicodeDecodeError):
        return None


answers = [answer(text) for text in json.load(sys.stdin)]
json.dump({"version": extensions.libpq_version(), "keywords": keywords(), "answers": answers}, sys.stdout)
