# SPDX-License-Identifier: GPL-2.0
"""How many methods a type has, and in how many files, for check-sizes, which tells the rule.

Methods of traits are not counted: what they are is decided where the trait is.
"""

import sys
from pathlib import Path

from rust import Crate, closing, path

CRATES = ("rust/units", "rust/latch", "rust/engine", "rust/module")


def behind_brackets(code, i):
    """What stands behind the generics that open at `i`, if any do."""
    depth = 0
    while i < len(code):
        depth += {"<": 1, ">": -1}.get(code[i].text, 0)
        if depth == 0:
            return i + 1 if code[i].text == ">" else i
        i += 1
    return i


def methods(code):
    """(path of a type, how many methods) for each `impl` that is not of a trait."""
    for i, token in enumerate(code[:-2]):
        if token.text != "impl" or code[i - 1].text not in "};]" and i:
            continue
        start = behind_brackets(code, i + 1)
        if start >= len(code) or code[start].kind != "word":
            continue
        name, end = path(code, start)
        opening = end
        while code[opening].text not in ("{", ";"):
            opening += 1
        if any(between.text == "for" for between in code[end:opening]):
            continue
        count, j, last = 0, opening + 1, closing(code, opening)
        while j < last:
            if code[j].text == "{":
                j = closing(code, j)
            elif code[j].text == "fn" and code[j + 1].kind == "word":
                count += 1
            j += 1
        yield name, count


def types(crate):
    """{(module that has the type, its name): {module: methods}}, without tests."""
    found = {}
    for module in crate.modules.values():
        if module.test:
            continue
        for name, count in methods(module.code):
            home = crate.resolve(module, name) or module
            of = found.setdefault((home, name[-1]), {})
            of[module] = of.get(module, 0) + count
    return found


def allowed(root):
    """The types that may have more, each with a reason: {(file, type)}."""
    file = root / "scripts/types-allowed"
    lines = file.read_text().splitlines() if file.exists() else []
    words = [line.split(None, 2) for line in lines if " " in line and not line.startswith("#")]
    return {(file, kind) for file, kind, *reason in words if reason}


def main(root, most, files):
    known, met, bad = allowed(root), set(), False
    for name in CRATES:
        if not (root / name).exists():
            continue
        for (home, kind), counts in types(Crate(root / name)).items():
            count, places = sum(counts.values()), sum(1 for n in counts.values() if n)
            if count <= most or places <= files:
                continue
            where = str(home.file.relative_to(root))
            if (where, kind) in known:
                met.add((where, kind))
                continue
            print(f"{where}: {kind} has {count} methods in {places} files: cut out a part with a name of its own")
            bad = True
    for where, kind in sorted(known - met):
        print(f"warning: {where}: {kind} may go from scripts/types-allowed")
    return bad


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
