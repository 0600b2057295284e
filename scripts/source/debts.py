# SPDX-License-Identifier: GPL-2.0
"""What is known to be against a rule still: scripts/debts, which only gets shorter.

A line is `KIND PLACE: NAMES`, to which none may be added.  A name stands there as often
as it is met.
"""

from collections import Counter


class Debts:
    """The lines of a tree's scripts/debts, and what of them was not met yet."""

    def __init__(self, root):
        self.lines = {}
        file = root / "scripts/debts"
        for line in file.read_text().splitlines() if file.exists() else []:
            if line and not line.startswith("#"):
                key, _, what = line.partition(": ")
                self.lines.setdefault(key, []).append(Counter(what.split()))

    def covers_names(self, kind, place, names):
        """Whether all these are known to be together, and were not met before."""
        for known in self.lines.get(f"{kind} {place}", []):
            if Counter(names) <= known:
                known.subtract(names)
                return True
        return False

    def paid_names(self, kind):
        """What the file has of a kind and is not met any more."""
        for key, lines in self.lines.items():
            gone = sorted(name for known in lines for name in known.elements())
            if key.startswith(kind + " ") and gone:
                yield f"warning: {key}: of scripts/debts {' '.join(gone)} may go"
