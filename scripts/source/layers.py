# SPDX-License-Identifier: GPL-2.0
"""The rules of check-layers, which tells them."""

import re
import sys
from pathlib import Path

from debts import Debts
from rust import Crate, closing, path

# Of each crate: its layers, lowest first, and the crates that it may name.
CRATES = {
    "rust/units": ([], {"kernel"}),
    "rust/latch": ([], {"kernel"}),
    "rust/engine": (["map", "registry", "disk", "volume", "btree", "space", "txn", "fs"], {"kernel", "units", "latch"}),
    "rust/module": (["linux", "io", "vfs"], {"kernel", "units", "latch", "engine"}),
}
OURS = {"units", "latch", "engine", "rbtrfs"}
RAW = re.compile("Raw[A-Z]\\w*")
# What a function may not call a bare number.
PLACES = {"addr", "address", "at", "pos", "start", "end", "logical", "physical", "len", "length", "size", "bytes", "devid", "capacity", "block_size", "group"}
# Beside these: a third number of a key is not called so, and what a field has may be a difference.
ARGUMENTS, FIELDS = PLACES | {"offset"}, PLACES | {"sector"}
NUMBERS = {"u64", "i64", "loff_t"}
# Where numbers become addresses and lengths.
MAKERS = {("rust/engine", "disk"), ("rust/module", "linux", "loff")}
PRELUDE = {("kernel", "prelude"), ("kernel", "error", "code")}


class Report:
    """Complaints, counted."""

    def __init__(self, root):
        self.root, self.lines = root, []

    def say(self, module, line, what):
        self.lines.append(f"{module.file.relative_to(self.root)}:{line}: {what}")


def arrows(report, crate, layers):
    """Complain of the uses between layers that point up."""
    rank = {name: i for i, name in enumerate(layers)}
    for module in crate.modules.values():
        if module.path and module.path[0] not in rank and layers:
            report.say(module, 1, f"{module.path[0]} is in no layer; see scripts/source/layers.py")
    for user, used, line in crate.edges(tests=True):
        if not user.path or not used.path:
            continue
        own, other = user.path[0], used.path[0]
        if rank.get(other, 0) > rank.get(own, len(rank)):
            report.say(user, line, f"{own} uses {other}, which is above it")


def circles(crate):
    """Of each folder, the groups of members that need each other: [(folder, [member])]."""
    graphs = {}
    for user, used, _ in crate.edges():
        a, b = user.path, used.path
        shared = 0
        while shared < min(len(a), len(b)) and a[shared] == b[shared]:
            shared += 1
        if shared == len(a) or shared == len(b):
            continue  # a file and one below it
        graph = graphs.setdefault(a[:shared], {})
        graph.setdefault(a[shared], set()).add(b[shared])
        graph.setdefault(b[shared], set())
    found = []
    for folder, graph in sorted(graphs.items()):
        for group in components(graph):
            if len(group) > 1:
                found.append((folder, sorted(group)))
    return found


def components(graph):
    """The strongly connected components."""
    reach = {}
    for start in graph:
        seen, todo = set(), [start]
        while todo:
            for following in graph[todo.pop()]:
                if following not in seen:
                    seen.add(following)
                    todo.append(following)
        reach[start] = seen
    done = set()
    for start in sorted(graph):
        if start not in done:
            group = {start} | {other for other in reach[start] if start in reach[other]}
            done |= group
            yield group


def names(report, name, module):
    """What a single file may not name."""
    edge = name == "rust/module" and module.path[:1] == ("linux",)
    for use in module.uses:
        if edge and use.path[0] == "engine":
            report.say(module, use.line, "linux knows nothing of the engine")
        if not edge and name != "rust/latch" and "bindings" in use.path:
            report.say(module, use.line, "raw bindings belong in rust/module/linux")
        if name != "rust/latch" and PRELUDE & {use.path[:2], use.path[:3]}:
            report.say(module, use.line, "the prelude and the error codes come from latch::prelude")
        if use.path[:3] == ("super", "super", "super"):
            report.say(module, use.line, "name the layer by crate::, not by climbing")


def foreign(report, name, allowed, crate):
    """Complain of our own crates above this one."""
    for module in crate.modules.values():
        for use in module.uses:
            if use.path[0] in OURS - allowed and crate.resolve(module, use.path, use.within) is None:
                report.say(module, use.line, f"{name} is below the crate {use.path[0]}")


def raw(module):
    """How often a file names a structure of the disk, byte for byte."""
    return sum(1 for token in module.code if token.kind == "word" and RAW.fullmatch(token.text))


def layered(report, crate):
    """Complain of structures of the disk that others than `disk` name."""
    for module in crate.modules.values():
        if module.path[:1] != ("disk",) and not module.test and raw(module):
            report.say(module, 1, f"bytes become types in disk/: {raw(module)} times Raw..")


def parameters(code, i):
    """Where the parameters open of the function whose name stands at `i`: behind its generics, which may have brackets, too."""
    depth, i = 0, i + 1
    while i < len(code) - 1 and (depth or code[i].text != "("):
        depth += {"<": 1, ">": -1}.get(code[i].text, 0)
        i += 1
    return i


def bare(module):
    """(line, what it is, [name as type]) for each function that takes addresses, lengths or ids of devices as numbers, which
    C's callbacks must, and for each structure that has some."""
    for i, token in enumerate(module.code[:-2]):
        name = module.code[i + 1]
        if name.kind != "word" or module.code[i - 1].kind == "string":
            continue
        if token.text == "fn":
            start, places = parameters(module.code, i + 1), ARGUMENTS
        elif token.text == "struct":
            start, places = body(module.code, i + 1), FIELDS
        else:
            continue
        found = list(numbers(module.code, start, places)) if start else []
        if found:
            yield found[0][0], name.text, [what for _, what in found]


def body(code, i):
    """Where the members open of the structure whose name stands at `i`; None if they have no names."""
    while code[i].text not in {"{", "(", ";"}:
        i += 1
    return i if code[i].text == "{" else None


def numbers(code, start, places):
    """(line, name as type) for each of these `places` that is a number, among the names that open at `start`."""
    for j in range(start, closing(code, start) - 2):
        word, mark = code[j : j + 2]
        kind = path(code, j + 2)[0][-1]
        if word.text in places and mark.text == ":" and kind in NUMBERS:
            yield word.line, f"{word.text} as {kind}"


def unitless(report, name, crate, debts):
    """Complain of addresses, lengths and ids that are bare numbers, and count what is known for them."""
    known = 0
    for module in crate.modules.values():
        if module.test or name == "rust/units" or MAKERS & {(name,) + module.path[:1], (name,) + module.path[:2]}:
            continue
        for line, function, what in bare(module):
            if debts.covers_names("bare", module.file.relative_to(report.root), [function]):
                known += 1
            else:
                what = " and ".join(what)
                report.say(module, line, f"{function} takes {what}, not as a type of its own")
    return known


def main(root):
    report, debts = Report(root), Debts(root)
    found, known = [], 0
    for name, (layers, allowed) in CRATES.items():
        if not (root / name).exists():
            continue
        crate = Crate(root / name)
        for module in crate.modules.values():
            names(report, name, module)
        foreign(report, name, allowed, crate)
        layered(report, crate)
        arrows(report, crate, layers)
        known += unitless(report, name, crate, debts)
        found += [(name, folder, group) for folder, group in circles(crate)]
    for name, folder, group in found:
        place, members = "/".join((name,) + folder), " ".join(group)
        print(f"circle {place}: {members}")
        if not debts.covers_names("circle", place, group):
            report.lines.append(f"{place}: these need each other, open the circle: {members}")
    print(*debts.paid_names("circle"), *debts.paid_names("bare"), sep="\n")
    if not any((root / name).exists() for name in CRATES):
        report.lines.append(f"{root}: no crate of ours")
    print(f"{len(found)} circles of files, {known} functions that take addresses or lengths as bare numbers")
    print(*report.lines, sep="\n")
    return 1 if report.lines else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
