# SPDX-License-Identifier: GPL-2.0
"""The rules of check-paths, which tells them."""

import re
import sys
from pathlib import Path

from rust import closing, code, tokens

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


class Members:
    """What the types of a tree have, and what is in its modules, as far as their text says it."""

    def __init__(self):
        self.types, self.modules = {}, {}

    def read(self, file, text):
        """Takes over what a file defines."""
        all_ = code(text)
        for i, token in enumerate(all_[:-1]):
            if token.text in ("enum", "struct", "trait", "union", "impl") and all_[i + 1].text != ":":
                self.read_type(all_, i)
        folder = {"mod": 0, "lib": 0, "main": 0}.get(file.stem)
        parents = [part for part in file.parts[:-1] if part not in ("src", "rust", "tests", "host")]
        name = file.stem if folder is None else (parents or ["crate"])[-1]
        self.modules.setdefault(name, set()).update(token.text for token in all_ if token.kind == "word")

    def read_type(self, all_, i):
        """Takes over what stands between the braces of the type or `impl` at `i`: functions, constants, variants, fields."""
        head, j = [], i + 1
        while j < len(all_) and all_[j].text not in ("{", ";", "("):
            head.append(all_[j])
            j += 1
        name = named(head, all_[i].text)
        if name is None or j == len(all_):
            return
        members = self.types.setdefault(name, set())
        if all_[j].text != "{":
            return
        end, depth = closing(all_, j), 0
        for k in range(j, end):
            depth += {"{": 1, "(": 1, "[": 1, "}": -1, ")": -1, "]": -1}.get(all_[k].text, 0)
            if depth == 1 and all_[k].kind == "word":
                members.add(all_[k].text)

    def lacks(self, first, second):
        """Whether there is no type `first`, or none of the types or modules of ours that are called so has `second`."""
        if first[0].isupper():
            return second not in self.types.get(first, ()) and second not in DERIVED
        return first in self.modules and second not in self.modules[first]


def named(head, word):
    """The name of the type whose definition, or `impl`, begins with these tokens; None for one of a type that is not ours."""
    depth, names = 0, []
    for token in head:
        depth += {"<": 1, ">": -1}.get(token.text, 0)
        if depth == 0 and token.text == "for":
            names = []
        elif depth == 0 and token.text == "where":
            break
        elif depth == 0 and token.kind == "word":
            names.append(token.text)
    names = [name for name in names if name not in ("dyn", "mut", "const")]
    if not names:
        return None
    return names[-1] if word == "impl" else names[0]


# What types have by `derive`; crates of others.
DERIVED = {"default", "clone"}
CRATES = {"kernel", "core", "std", "clap"}
PAIR = re.compile(r"(?:\w+::)+\w+(?:\(\))?")


def strangers(words, members):
    """The pairs `A::b` in a piece of code on a page of which A is ours and has no b."""
    parts = words.removesuffix("()").split("::")
    if PAIR.fullmatch(words) and parts[0] not in CRATES:
        for first, second in zip(parts, parts[1:]):
            if members.lacks(first, second):
                yield f"{first}::{second}"


def main(root, listed):
    files = [Path(line) for line in listed.read().splitlines()]
    all_ = {str(file) for file in files} | {str(parent) for file in files for parent in file.parents}
    known = {word for file in files for word in WORD.findall(file.name)}
    for file in files:
        if file.suffix != ".md" and (root / file).is_file():
            known.update(WORD.findall((root / file).read_text(errors="replace")))
    members = Members()
    for file in files:
        if file.suffix == ".rs" and (root / file).is_file() and "checks" not in file.parts:
            members.read(file, (root / file).read_text())
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
            for pair in strangers(words, members) if file.suffix == ".md" else ():
                print(f"{file}:{line}: there is no {pair}")
                bad = True
    return bad


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.stdin))
