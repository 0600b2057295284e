# SPDX-License-Identifier: GPL-2.0
"""The rules of check-maps, which tells them."""

import re
import sys
from pathlib import Path

from rust import Crate

COLUMNS = {"module", "file", "folder"}
NAME = re.compile(r"`([a-z_][a-z0-9_]*)/?`")


def cells(line):
    """The cells of a table's line, or none."""
    line = line.removeprefix("//!").strip()
    return [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []


def mapped(text):
    """The modules that the tables of a file's `//!` name, and where: {name: line}."""
    found, column = {}, None
    for number, line in enumerate(text.splitlines(), 1):
        row = cells(line) if line.startswith("//!") else []
        if not row:
            column = None
        elif column is None:
            column = next((i for i, cell in enumerate(row) if cell in COLUMNS), len(row))
        elif column < len(row):
            found.update({name: number for name in NAME.findall(row[column])})
    return found


def complaints(module):
    """(line, what) for each module that its parent's map lacks, or has too many."""
    declared = {name.removeprefix("r#"): line for name, (line, test) in module.children.items() if not test}
    found = mapped(module.text)
    if len(declared) == 1 and not found:
        # A table with one line would be silly: a sentence will do.
        docs = "\n".join(line for line in module.text.splitlines() if line.startswith("//!"))
        found = {name: 1 for name in NAME.findall(docs) if name in declared}
    for name, line in declared.items():
        if name not in found:
            yield line, f"the map of this folder, in //!, lacks {name}"
    for name, line in found.items():
        if name not in module.children:
            yield line, f"the map has {name}, which is no module here"


def main(root):
    crates = [Crate(root / name) for name in ("rust/units", "rust/latch", "rust/engine", "rust/module") if (root / name).exists()]
    lines = [] if crates else [f"{root}: no crate of ours"]
    for crate in crates:
        for module in crate.modules.values():
            file = module.file.relative_to(root)
            lines += [f"{file}:{line}: {what}" for line, what in complaints(module)] if not module.test else []
        for module, name, line in crate.missing:
            lines.append(f"{module.file.relative_to(root)}:{line}: mod {name} has no file")
        known = {module.file for module in crate.modules.values()}
        for file in sorted(crate.folder.rglob("*.rs")):
            if file not in known:
                lines.append(f"{file.relative_to(root)}: no mod line names this file")
    print(*lines, sep="\n")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
