# SPDX-License-Identifier: GPL-2.0
"""The rules of check-paths, which tells them."""

import re
import sys
from pathlib import Path

from rust import tokens

# A path: at least a folder or a name of these kinds. C's own files are in the kernel.
PATH = re.compile(r"(?<![\w/.~$}*:-])(?:[\w*-][\w.*-]*/)*[\w.*-]*[\w*-](?:\.(?:rs|md|sh|py|toml)\b|/(?![\w{$<(*]))?")
OURS = ("rust/units", "rust/latch", "rust/engine", "rust/module", "scripts/", "tests/", "Documentation/")
# What is not here: the kernel's sources, a library's, xfstests and btrfs-progs, what a build or a test makes.
FOREIGN = (
    *("include/", "Documentation/filesystems", "rust/macros", "fs/btrfs", "fs/iomap", "rust/kernel", "core/src", "tests/generic", "tests/btrfs"),
    *("tests/fuzz-tests", "out/", "kernel/", "xfstests/", "detail/", "fio/"),
)

# A link of a page, but those to a place of the same page.
LINK = re.compile(r"\[([^\]]+)\]\(([^)#\s]+)[^)]*\)")
# A link's text that names one thing of the code, perhaps with the path to it.
TYPE = re.compile(r"`(?:\w+::)*(\w+)`")

# A name of the code: it has an underscore, or capitals inside or before small letters.
CODE = re.compile(r"[A-Za-z_][\w:]*(?:\(\))?")
NAME = re.compile(r"[A-Z]?[a-z0-9]+[A-Z]\w*|\w+_\w+|[A-Z][a-z]\w*")
WORD = re.compile(r"[A-Za-z_]\w*")
# Names of C btrfs that pages compare with.
THEIRS = {"btrfs_zone_finish_one_bg", "decide_stripe_size_regular", "bg_reclaim_threshold", "MAX_CACHE_BYTES_PER_GIG"}


def names(text):
    """The paths in a piece of prose."""
    for match in PATH.finditer(text):
        word = match.group().rstrip(".")
        if word.startswith(OURS) or word.endswith((".rs", ".md", ".sh", ".py", ".toml")):
            yield word
        elif word.endswith("/") and word.islower():
            yield word


def prose(file, text):
    """(line, words) of what people read in a file: its comments; of a page, what is code or a link."""
    if file.suffix == ".md":
        for number, line in enumerate(text.splitlines(), 1):
            for match in re.finditer(r"`([^`]+)`|\]\(([^)#]+)[^)]*\)", line):
                yield number, match.group(1) or match.group(2)
    elif file.suffix == ".rs":
        for token in tokens(text):
            if token.kind == "comment":
                yield token.line, token.text
    else:
        for number, line in enumerate(text.splitlines(), 1):
            found = re.search(r"(?:^|\s)#\s(.*)", line)
            if found:
                yield number, found.group(1)


def exists(root, all_, file, word):
    """Whether a path is there: from the root, beside the file that names it, or as the end of one."""
    if word.startswith(FOREIGN) or re.search("NAME|VERSION|RULE", word):
        return True
    bare = word.rstrip("/")
    for base in (root, file.parent):
        if (base / bare).exists() or ("*" in bare and any(base.glob(bare))):
            return True
    pattern = re.compile("(^|/)" + re.escape(bare).replace(r"\*", "[^/]*") + "$")
    return not word.startswith(OURS) and any(pattern.search(one) for one in all_)


def links(file, text):
    """(line, what, where) for each link of a page into this tree: its text, and the file that it leads to."""
    for number, line in enumerate(text.splitlines(), 1):
        for what, where in LINK.findall(line) if file.suffix == ".md" else ():
            if "://" not in where:
                yield number, what, (file.parent / where).resolve()


def misled(what, where):
    """What is wrong with a link; None if it leads to what it says."""
    if not where.exists():
        return f"the link of {what} leads nowhere"
    name = TYPE.fullmatch(what)
    if name and where.suffix == ".rs":
        defined = rf"\b(struct|enum|trait|type|union|fn|mod|const|static) {name.group(1)}\b"
        if not re.search(defined, where.read_text()):
            return f"{where.name}, where the link of {what} leads, does not define it"
    return None


def unknown(words, known):
    """The names in a piece of code on a page that nothing has."""
    if CODE.fullmatch(words):
        for word in WORD.findall(words):
            if NAME.fullmatch(word) and word not in known | THEIRS:
                yield word


def main(root, listed):
    files = [Path(line) for line in listed.read().splitlines()]
    all_ = {str(file) for file in files} | {str(parent) for file in files for parent in file.parents}
    known = {word for file in files for word in WORD.findall(file.name)}
    for file in files:
        if file.suffix != ".md" and (root / file).is_file():
            known.update(WORD.findall((root / file).read_text(errors="replace")))
    bad = not files
    for file in files:
        full = root / file
        if file.suffix not in (".md", ".rs", ".sh", "") or not full.is_file() or full.is_symlink():
            continue
        text = full.read_text(errors="replace")
        for line, what, where in links(full, text):
            wrong = misled(what, where)
            if wrong:
                print(f"{file}:{line}: {wrong}")
                bad = True
        for line, words in prose(file, text):
            for word in names(words):
                if not exists(root, all_, full, word):
                    print(f"{file}:{line}: there is no {word}")
                    bad = True
            for word in unknown(words, known) if file.suffix == ".md" else ():
                print(f"{file}:{line}: nothing is called {word}")
                bad = True
    return bad


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.stdin))
