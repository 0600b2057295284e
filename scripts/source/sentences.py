# SPDX-License-Identifier: GPL-2.0
"""Doc comments are whole plain sentences: what a fragment of one looks like."""

import re
import sys
from pathlib import Path

LINE = re.compile(r"\s*//([/!])(?!/) ?(.*)")
# What needs the sentence before it to be read.
LEANS = re.compile(r"(The same|Else|Nor|Not to|As)\b")
# What does so wherever a sentence of a comment begins.
LEANS_INSIDE = re.compile(r"(Else|Nor|Not to)\b")
# What begins a piece of a sentence, where few words follow.
PIECE = re.compile(r"(To|In|By|Of|Both|Without|Those|For)\b")
PIECE_WORDS = 8
# What is no sentence, and is not to be one: a table, a heading, a list, code, the target of a link.
OTHER = re.compile(r"\||#|[*-] |\d+\. |\s{2}|\[[^\]]*\]: \S+$")
# The C files that a module is about.
LABEL = re.compile(r"C headers?: ")
WORDS = 3


def blocks(lines):
    """[(line, [text])]: the doc comments of a file, `//!` and `///` apart."""
    found, before = [], None
    for number, line in enumerate(lines, 1):
        match = LINE.fullmatch(line)
        kind = match and match.group(1)
        if kind and kind == before:
            found[-1][1].append(match.group(2))
        elif kind:
            found.append((number, [match.group(2)]))
        before = kind
    return found


def paragraphs(first, texts):
    """[(line, text)]: what is to be sentences in a comment that begins at line `first`."""
    found, open_, code = [], False, False
    for number, text in enumerate(texts, first):
        fence = text.startswith("```")
        code ^= fence
        if fence or code or not text or OTHER.match(text):
            open_ = False
        elif open_:
            found[-1][1].append(text)
        else:
            found.append((number, [text]))
            open_ = True
    return [(number, " ".join(words)) for number, words in found]


def fault(text):
    """What a paragraph lacks; None if nothing."""
    if LABEL.search(text):
        return None
    sentences = re.split(r"(?<=[.:?;]) (?=[A-Z])", text)
    if LEANS.match(text) or any(LEANS_INSIDE.match(sentence) for sentence in sentences):
        return "leans on another sentence"
    if PIECE.match(text) and len(text.split()) < PIECE_WORDS:
        return "is a piece of a sentence"
    if text.startswith("..") or text.endswith(".."):
        return "is one of two halves"
    if len(text.split()) < WORDS:
        return f"has fewer than {WORDS} words"
    if not re.search(r"[.:?]\)?$", text):
        return "has no end"
    return None


def main(root):
    found = 0
    for file in sorted((root / "rust").rglob("*.rs")):
        for first, texts in blocks(file.read_text().splitlines()):
            for line, text in paragraphs(first, texts):
                what = fault(text)
                if what:
                    found += 1
                    print(f"{file.relative_to(root)}:{line}: this doc comment {what}: {text}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
