#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""rust-project.py KERNEL_JSON SYSROOT TOP BUILD: the kernel's rust-project.json
seen from outside the sysroot, and this module's four crates, on stdout."""

import json
import os
import sys

kernel_json, sysroot, top, build = sys.argv[1:]
with open(kernel_json, encoding="utf-8") as file:
    project = json.load(file)


def outside(path):
    """The sysroot's own files have a prefix for whoever is not in it."""
    return sysroot + path if path.startswith("/usr/") else path


project.pop("sysroot", None)
for crate in project["crates"]:
    crate["root_module"] = outside(crate["root_module"])
    crate["is_workspace_member"] = False
    source = crate.get("source")
    if source:
        source["include_dirs"] = [outside(name) for name in source["include_dirs"]]
numbers = {crate["display_name"]: n for n, crate in enumerate(project["crates"])}
cfg = next(c["cfg"] for c in project["crates"] if c["display_name"] == "kernel")


def add(name, root, *needs):
    """Append one of our crates; it sees what every module sees."""
    deps = ["core", "macros", "kernel", "pin_init", "zerocopy", "zerocopy_derive", *needs]
    numbers[name] = len(project["crates"])
    project["crates"].append(
        {
            "display_name": name,
            "root_module": os.path.join(top, root),
            "is_workspace_member": True,
            "deps": [{"crate": numbers[dep], "name": dep} for dep in deps if dep in numbers],
            "cfg": cfg + ["MODULE"],
            "edition": "2021",
            "env": {"RBTRFS_OBJ": build, "RUST_MODFILE": "rbtrfs"},
            "source": {
                "include_dirs": [os.path.join(top, "rust"), os.path.join(build, "rust")],
                "exclude_dirs": [],
            },
        }
    )


add("units", "rust/units/lib.rs")
add("latch", "rust/latch/lib.rs")
add("engine", "rust/engine/lib.rs", "units", "latch")
add("rbtrfs", "rust/module/main.rs", "units", "latch", "engine")
json.dump(project, sys.stdout, indent=4)
