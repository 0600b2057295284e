# SPDX-License-Identifier: GPL-2.0
"""The rules of check-errors, which tells them."""

import sys
from pathlib import Path

from rust import code, judge

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


def complaints(name, text):
    """(line, what) for each rule that a file breaks."""
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
            yield token.line, "EUCLEAN without a reason: report a Flaw at its Place, or a Bug"


if __name__ == "__main__":
    sys.exit(judge(Path(sys.argv[1]), complaints))
