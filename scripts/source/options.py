# SPDX-License-Identifier: GPL-2.0
"""The rules of check-options, which tells them."""

import re
import sys
from pathlib import Path

CODE = Path("rust/module/vfs/mount/options/mod.rs")
PAGE = Path("Documentation/rbtrfs.5")
WORD = re.compile(r"""(?:(flag|taken|refused)\(|Word::new\()\s*c"([a-z_-]+)=?"(?:,\s*Kind::(\w+))?""")


def of_code(text):
    """The words that a mount takes, and those that it refuses."""
    taken, refused = set(), set()
    for call, word, kind in WORD.findall(text):
        (refused if call == "refused" or kind.startswith("Refused") else taken).add(word)
    return taken, refused


def of_page(text):
    """The same of the manual: what has an entry of its own among the options, and what is listed as refused."""
    options = text.split("\n.SH OPTIONS\n")[1].split("\n.SH ")[0]
    entries, listed = options.split("\n.SS Refused\n")
    heads = "\n".join(re.findall(r"^\.TP\n\.B\w? (.*)$", entries, re.MULTILINE))
    # What stands behind an equals sign is a value.
    taken = re.findall(r"(?<![\w-])(?<!=)(?<!= )[a-z][a-z_-]+", heads)
    return set(taken), set(re.findall(r"^\.BR ([a-z_-]+)(?: [,.])?$", listed, re.MULTILINE))


def main(root):
    lines = []
    code, page = of_code((root / CODE).read_text()), of_page((root / PAGE).read_text())
    for what, ours, told in zip(("takes", "refuses"), code, page):
        lines += [f"{PAGE}: does not say that a mount {what} {word}" for word in sorted(ours - told)]
        lines += [f"{PAGE}: says that a mount {what} {word}, which {CODE} does not" for word in sorted(told - ours)]
    print(*lines, sep="\n")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
