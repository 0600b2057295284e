# SPDX-License-Identifier: GPL-2.0
"""The length of functions, for check-sizes, which tells the rule."""

import sys
from pathlib import Path

from rust import closing, code


def functions(text):
    """(name, first line, lines) of each function with a body."""
    all_ = code(text)
    for i, token in enumerate(all_[:-1]):
        if token.text != "fn" or all_[i + 1].kind != "word":
            continue
        j = i + 2
        while j < len(all_) and all_[j].text not in ("{", ";"):
            j = closing(all_, j) + 1 if all_[j].text in ("(", "[") else j + 1
        if j >= len(all_) or all_[j].text == ";":
            continue
        last = all_[closing(all_, j)].line
        yield all_[i + 1].text, token.line, last - token.line + 1


def main(root, aloud, stop):
    bad = False
    for line in sys.stdin:
        file = root / line.strip()
        for name, first, lines in functions(file.read_text()) if file.is_file() else ():
            if lines > aloud:
                warning = "warning: " if lines <= stop else ""
                print(f"{warning}{line.strip()}:{first}: fn {name} has {lines} lines")
                bad = bad or lines > stop
    return bad


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
