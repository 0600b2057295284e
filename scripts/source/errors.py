# SPDX-License-Identifier: GPL-2.0
"""The rules of check-errors, which tells them."""

import re
import sys
from pathlib import Path

from rust import code, judge, tokens

REPORTED = "rust/engine/disk/corrupt.rs"
# The constant itself.
DEFINED = "rust/latch/prelude.rs"


def is_test(name):
    return "/tests/" in name or name.endswith("/tests.rs")


def compared(all_, i):
    """Whether the name at `i` is one side of a comparison, or a pattern."""
    before = "".join(token.text for token in all_[max(0, i - 2) : i])
    behind = "".join(token.text for token in all_[i + 1 : i + 3])
    if before in ("==", "!=") or behind in ("==", "!="):
        return True
    # EUCLEAN =>, Err(EUCLEAN) =>, EUCLEAN | ...
    return any(behind.startswith(mark) for mark in ("=>", ")=>", "|"))


# Where a mistake of ours is a Bug.
TOLD = ("rust/engine/", "rust/module/io/")
# Where C's callbacks are, which answer what C does: there it is one that something is not there (`ok_or`).
EDGE = ("rust/module/vfs/", "rust/module/linux/")
SILENT = ("EIO", "EINVAL")


def silent(name, text):
    """(line, what) for each error of this code that has neither a line in the log nor a promise to whoever calls."""
    if not name.startswith(TOLD + EDGE) or is_test(name) or name == REPORTED:
        return
    # What was said since the last function began, and the words above it.
    above, promised, is_told, imported = "", "", False, False
    all_ = tokens(text)
    plain = [token for token in all_ if token.kind != "comment"]
    at = 0
    for token in all_:
        if token.kind == "comment":
            above += token.text
            continue
        i, at = at, at + 1
        if token.text == "use":
            imported = True
        elif token.text == "fn":
            promised, is_told = above, False
        elif token.text in (";", "{", "}"):
            imported, above = imported and token.text != ";", ""
        elif re.fullmatch(r"pr_\w+|report", token.text):
            is_told = True
        elif token.text in SILENT and not (imported or is_told or compared(plain, i)):
            is_missing = [token.text for token in plain[i - 2 : i]] == ["ok_or", "("]
            if f"`{token.text}`" not in promised and (is_missing or name.startswith(TOLD)):
                yield token.line, f"{token.text} without a reason: a Bug, a line in the log, or a promise of the function"


def complaints(name, text):
    """(line, what) for each rule that a file breaks."""
    yield from silent(name, text)
    all_, imported = code(text), False
    for i, token in enumerate(all_):
        if token.text == "use":
            imported = True
        elif token.text == ";":
            imported = False
        words = [token.text for token in all_[i : i + 6]]
        if words[:3] in (["From", "<", "Flaw"], ["From", "<", "Corrupt"]) and words[4:] == ["for", "Error"]:
            yield token.line, "a flaw becomes an error by being reported, not by itself"
        if name in (REPORTED, DEFINED) or is_test(name):
            continue
        if token.text == "EUCLEAN" and not imported and not compared(all_, i):
            yield token.line, "EUCLEAN without a reason: report a Flaw at its Site, or a Bug"


if __name__ == "__main__":
    sys.exit(judge(Path(sys.argv[1]), complaints))
