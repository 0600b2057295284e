# SPDX-License-Identifier: GPL-2.0
"""The rules of check-corrupt, which tells them."""

import sys
from pathlib import Path

from debts import Debts
from rust import Crate, code

ANSWERS = "rust/engine/disk/corrupt.rs"


def answers(module):
    """The lines where a file makes an EUCLEAN; to compare with it, or to import it, is none."""
    all_, imports = code(module.text), False
    for i, token in enumerate(all_):
        if token.text in ("use", ";"):
            imports = token.text == "use"
        if token.text != "EUCLEAN" or imports:
            continue
        before = all_[i - 2].text + all_[i - 1].text if i > 1 else ""
        after = all_[i + 1].text + all_[i + 2].text if i + 2 < len(all_) else ""
        if "==" not in (before, after) and "!=" not in (before, after) and not after.startswith(("=>", "|")):
            yield token.line


def main(root):
    places, debts, bad = {}, Debts(root), False
    for name in ("rust/engine", "rust/module"):
        for module in Crate(root / name).modules.values():
            file = str(module.file.relative_to(root))
            if file == ANSWERS or module.test:
                continue
            place = "/".join((name,) + module.path[:1])
            places.setdefault(place, []).extend((file, line) for line in answers(module))
    for place, found in sorted(places.items()):
        if not debts.covers_number("EUCLEAN", place, len(found)):
            for file, line in found:
                print(f"{file}:{line}: say what is broken (disk::Corrupt): only that becomes EUCLEAN")
            bad = True
    print(*debts.paid, f"{sum(map(len, places.values()))} EUCLEAN without a word", sep="\n")
    return bad or not places


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
