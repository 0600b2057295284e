# SPDX-License-Identifier: GPL-2.0
"""What the checks must know of Rust: tokens, modules, and which file names which.

It is a lexer and a reader of `mod` and `use`, not a compiler: it follows paths
through modules and re-exports, and knows nothing of types.
"""

import re
from pathlib import Path

TOKEN = re.compile(
    r"""(?P<space>\s+)
    |(?P<comment>//[^\n]*|/\*.*?\*/)
    |(?P<string>[bc]?r(?P<hashes>\#*)".*?"(?P=hashes)|[bc]?"(?:[^"\\]|\\.)*")
    |(?P<char>b?'(?:\\x[0-9a-fA-F]{2}|\\u\{[^}]*\}|\\.|[^'\\\n])')
    |(?P<lifetime>'[A-Za-z_]\w*)
    |(?P<word>(?:r\#)?[A-Za-z_]\w*)
    |(?P<number>\d\w*(?:\.\d\w*)?)
    |(?P<mark>::|->|=>|\.\.=|\.\.|[^\w\s])""",
    re.VERBOSE | re.DOTALL,
)


OPENING, CLOSING = ("(", "[", "{"), (")", "]", "}")
ITEMS = ("struct", "enum", "union", "trait", "type", "fn", "const", "static", "macro_rules")


class Token:
    """A word, mark, literal or comment, and the line where it begins."""

    __slots__ = ("kind", "text", "line")

    def __init__(self, kind, text, line):
        self.kind, self.text, self.line = kind, text, line

    def __repr__(self):
        return f"{self.line}:{self.text}"


def tokens(text):
    """All tokens of a source, comments included."""
    found, line = [], 1
    for match in TOKEN.finditer(text):
        kind, word = match.lastgroup, match.group()
        if kind == "hashes":
            kind = "string"
        if kind != "space":
            found.append(Token(kind, word, line))
        line += word.count("\n")
    return found


def code(text):
    """The tokens without comments."""
    return [token for token in tokens(text) if token.kind != "comment"]


def closing(all_, i):
    """Where the bracket that opens at `i` is closed; the last token, where it is not."""
    depth = 0
    for j in range(i, len(all_)):
        if all_[j].text in OPENING:
            depth += 1
        elif all_[j].text in CLOSING:
            depth -= 1
            if depth == 0:
                return j
    return len(all_) - 1


def path(all_, i):
    """The path a::b::c that begins at `i`, and where it ends."""
    segments = [all_[i].text]
    while i + 2 < len(all_) and all_[i + 1].text == "::" and all_[i + 2].kind == "word":
        i += 2
        segments.append(all_[i].text)
    return tuple(segments), i


def judge(root, complaints):
    """Print what `complaints(name, text)` finds in each file below rust/: whether it found anything, or no file."""
    files = sorted(root.glob("rust/**/*.rs"))
    bad = not files
    for file in files:
        name = str(file.relative_to(root))
        for line, what in complaints(name, file.read_text()):
            print(f"{name}:{line}: {what}")
            bad = True
    return bad


class Use:
    """A path which a file names: its segments, whether it is a re-export, the name it gets here."""

    __slots__ = ("path", "line", "public", "name", "within", "test")

    def __init__(self, path, line, public, name, within, test):
        self.path, self.line, self.public = path, line, public
        self.name, self.within, self.test = name, within, test


class Module:
    """One file: the modules that it declares and the paths that it names."""

    def __init__(self, crate, path, file, test):
        self.crate, self.path, self.file, self.test = crate, path, file, test
        self.text = file.read_text()
        self.children = {}  # name -> (line, whether only for tests)
        self.inline = set()
        self.uses = []
        self.defined = set()
        self.code = code(self.text)
        self._read(self.code)

    def __repr__(self):
        return "::".join(("crate",) + self.path)

    def folder(self):
        """Where the files of its children stand."""
        if self.file.name in ("mod.rs", "lib.rs", "main.rs"):
            return self.file.parent
        return self.file.with_suffix("")

    def _read(self, all_):
        depth, stack = 0, []  # stack: (depth, name, test) of inline modules
        i, test, public = 0, False, False
        while i < len(all_):
            word = all_[i].text
            within = tuple(name for _, name, _ in stack)
            tested = test or any(t for _, _, t in stack)
            if word == "#" and i + 1 < len(all_) and all_[i + 1].text in "[!":
                end = closing(all_, i + 1 if all_[i + 1].text == "[" else i + 2)
                inside = [t.text for t in all_[i:end]]
                if "cfg" in inside and "test" in inside and "not" not in inside:
                    test = True
                i = end + 1
                continue
            if word == "pub":
                public = True
                if all_[i + 1].text == "(":
                    i = closing(all_, i + 1)
            elif word == "mod" and all_[i + 1].kind == "word":
                name = all_[i + 1].text
                if all_[i + 2].text == ";":
                    self.children[name] = (all_[i].line, tested)
                    i += 2
                elif all_[i + 2].text == "{":
                    self.inline.add(within + (name,))
                    stack.append((depth, name, test))
                    depth += 1
                    i += 2
                public = test = False
            elif word == "use" and (i == 0 or all_[i - 1].text in ";{})]" or public):
                end = i + 1
                while all_[end].text != ";":
                    end += 1
                self._tree(all_[i + 1 : end], (), all_[i].line, public, within, tested)
                public = test = False
                i = end
            elif word in ITEMS:
                j = i + 1
                while all_[j].text in ("!", "mut", "unsafe", "extern", "fn", "async") or all_[j].kind == "string":
                    j += 1
                if all_[j].kind == "word" and not stack and depth == 0:
                    self.defined.add(all_[j].text)
            elif all_[i].kind == "word" and self._begins_path(all_, i):
                named, end = path(all_, i)
                self.uses.append(Use(named, all_[i].line, False, None, within, tested))
                i = end
            elif word == "{":
                depth += 1
            elif word == "}":
                depth -= 1
                if stack and stack[-1][0] == depth:
                    stack.pop()
                public = test = False
            elif word == ";":
                public = test = False
            i += 1

    @staticmethod
    def _begins_path(all_, i):
        return i + 1 < len(all_) and all_[i + 1].text == "::" and (i == 0 or all_[i - 1].text != "::")

    def _tree(self, part, prefix, line, public, within, test):
        """One tree of a `use`: a::{b, c as d, e::*}."""
        path, i = list(prefix), 0
        while i < len(part):
            token = part[i]
            if token.text == "{":
                j = start = i + 1
                end = closing(part, i)
                while j <= end:
                    if part[j].text == "{":
                        j = closing(part, j)
                    elif j == end or part[j].text == ",":
                        if part[start:j]:
                            self._tree(part[start:j], tuple(path), part[start].line, public, within, test)
                        start = j + 1
                    j += 1
                return
            if token.text == "as":
                self._leaf(path, token.line, public, within, test, part[i + 1].text)
                return
            if token.text == "*":
                self._leaf(path, token.line, public, within, test, "*")
                return
            if token.kind == "word":
                path.append(token.text)
                line = token.line
            i += 1
        name = path[-1] if path[-1] != "self" else path[-2]
        self._leaf(path, line, public, within, test, name)

    def _leaf(self, path, line, public, within, test, name):
        if path and path[-1] == "self" and len(path) > 1:
            path = path[:-1]
        self.uses.append(Use(tuple(path), line, public, name, within, test))


class Crate:
    """A crate: its modules by path, found from lib.rs or main.rs by `mod` lines."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.modules = {}
        self.missing = []  # (module, name, line): a `mod` line without a file
        for root in ("lib.rs", "main.rs"):
            if (self.folder / root).exists():
                self._add((), self.folder / root, False)

    def _add(self, path, file, test):
        module = Module(self, path, file, test)
        self.modules[path] = module
        for name, (line, only_test) in module.children.items():
            stem = name.removeprefix("r#")
            for candidate in (module.folder() / f"{stem}.rs", module.folder() / stem / "mod.rs"):
                if candidate.exists():
                    self._add(path + (name,), candidate, test or only_test)
                    break
            else:
                self.missing.append((module, name, line))

    def resolve(self, module, path, within=(), seen=None):
        """The module whose file has what `path` names; None where it is of another crate."""
        seen = seen if seen is not None else set()
        key = (module.path, path, within)
        if not path or key in seen:
            return None
        seen.add(key)
        place = list(module.path) + list(within)
        rest = list(path)
        if rest[0] == "crate":
            place, rest = [], rest[1:]
        elif rest[0] in ("self", "super"):
            while rest and rest[0] in ("self", "super"):
                if rest.pop(0) == "super":
                    if not place:
                        return None
                    place.pop()
        else:
            owner = self._owner(place)
            if not self._names(owner, tuple(place[len(owner.path) :]), rest[0]):
                return None
        return self._walk(place, rest, seen)

    def _owner(self, place):
        """The file's module that has `place`, which may be an inline module of it."""
        place = tuple(place)
        while place not in self.modules:
            place = place[:-1]
        return self.modules[place]

    def _names(self, owner, within, name):
        if name in owner.children or within + (name,) in owner.inline:
            return True
        return any(use.name == name and use.within == within for use in owner.uses)

    def _walk(self, place, rest, seen):
        while rest:
            owner = self._owner(place)
            within = tuple(place[len(owner.path) :])
            name = rest[0]
            if not within and name in owner.children and tuple(place) + (name,) in self.modules:
                place, rest = place + [name], rest[1:]
                continue
            if within + (name,) in owner.inline:
                place, rest = place + [name], rest[1:]
                continue
            if name in owner.defined and not within:
                return owner
            for use in owner.uses:
                if use.name == name and use.within == within:
                    return self.resolve(owner, use.path + tuple(rest[1:]), within, seen)
            for use in owner.uses:
                if use.name == "*" and use.within == within and use.path:
                    target = self.resolve(owner, use.path, within, set(seen))
                    if target is not None and (name in target.defined or name in target.children):
                        return self._walk(list(target.path), rest, seen)
            return owner
        return self._owner(place)

    def edges(self, tests=False):
        """(user, used, line) for each file that names something of another one."""
        for module in self.modules.values():
            if module.test and not tests:
                continue
            for use in module.uses:
                if use.test and not tests:
                    continue
                used = self.resolve(module, use.path, use.within)
                if used is None or used is module:
                    continue
                if use.public and used.path[: len(module.path)] == module.path:
                    continue  # the face of a folder, not a use
                yield module, used, use.line
