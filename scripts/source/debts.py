# SPDX-License-Identifier: GPL-2.0
"""What is known to be against a rule still: scripts/debts, which only gets shorter.

A line is `KIND PLACE: NAMES`, to which none may be added.
"""


class Debts:
    """The lines of a tree's scripts/debts, and which of them are out of date."""

    def __init__(self, root):
        self.lines, self.used = {}, set()
        file = root / "scripts/debts"
        for line in file.read_text().splitlines() if file.exists() else []:
            if line and not line.startswith("#"):
                key, _, what = line.partition(": ")
                self.lines.setdefault(key, []).append(what)

    def covers_names(self, kind, place, names):
        """Whether all these are known to be together."""
        for known in self.lines.get(f"{kind} {place}", []):
            if set(names) <= set(known.split()):
                self.used.update((f"{kind} {place}", name) for name in names)
                return True
        return False

    def paid_names(self, kind):
        """What the file has of a kind and is not met any more."""
        for key, lines in self.lines.items():
            gone = {name for line in lines for name in line.split() if (key, name) not in self.used}
            if key.startswith(kind + " ") and gone:
                yield f"warning: {key}: of scripts/debts {' '.join(sorted(gone))} may go"
