# SPDX-License-Identifier: GPL-2.0
"""The rules of check-unsafe, which tells them."""

import sys
from pathlib import Path

from rust import judge, tokens

INSIDE = ("rust/latch/", "rust/module/linux/")


def attributes_and_docs(all_, i):
    """The comments that stand directly over the item whose first token is `i`."""
    comments = []
    while i > 0:
        i -= 1
        token = all_[i]
        if token.kind == "comment":
            comments.append(token.text)
        elif token.text in ("]", ")"):  # of an attribute, of pub(in ..)
            depth = 0
            while i > 0:
                depth += {"]": 1, ")": 1, "[": -1, "(": -1}.get(all_[i].text, 0)
                if depth == 0:
                    break
                i -= 1
            if all_[i - 1].text not in ("#", "pub"):
                break
        elif token.text not in ("pub", "#", "const"):
            break
    return comments


def complaints(name, text):
    """(line, what) for each rule that a file breaks."""
    all_ = tokens(text)
    inside = name.startswith(INSIDE)
    blocks = reasons = 0
    heads, head = [], []  # the words before each open brace
    for i, token in enumerate(all_):
        if token.kind == "comment":
            reasons += "SAFETY:" in token.text
            if "SAFETY: As above" in token.text:
                yield token.line, "a SAFETY comment says its reason where it stands, not above"
            continue
        if token.text == "{":
            heads.append(head)
            head = []
        elif token.text == "}":
            if heads:
                heads.pop()
            head = []
        elif token.text == ";":
            head = []
        else:
            head.append(token.text)
        if token.text != "unsafe":
            continue
        if not inside:
            yield token.line, "unsafe outside rust/latch and rust/module/linux"
            continue
        following = [t for t in all_[i + 1 : i + 5] if t.kind != "comment"]
        words = [t.text for t in following]
        if words[0] in ("{", "impl"):
            blocks += 1
        if words[0] != "fn" or words[1] == "(":
            continue  # declarations; the type of a function; what C calls
        outer = heads[-1] if heads else []
        if "extern" in outer or ("impl" in outer and "for" in outer):
            continue  # C's declaration; a trait's contract
        if not any("# Safety" in comment for comment in attributes_and_docs(all_, i)):
            yield token.line, f"unsafe fn {words[1]} has no section # Safety"
    if blocks > reasons:
        yield 1, f"{blocks} unsafe blocks and impls, {reasons} SAFETY comments"


def main(root):
    bad = judge(root, complaints)
    lib = root / "rust/engine/lib.rs"
    if lib.exists() and "\n#![forbid(unsafe_code)]" not in lib.read_text():
        print("rust/engine/lib.rs: lacks #![forbid(unsafe_code)]")
        bad = True
    return bad


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
