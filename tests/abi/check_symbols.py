#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The library exports what the public headers declare, and nothing else: check_symbols.py LIBRARY HEADER…; its soname is
libxylem.so.0, and it needs nothing but libc and the loader."""
import re
import subprocess
import sys
from pathlib import Path


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


library, *headers = sys.argv[1:]
text = "".join(re.sub(r"/\*.*?\*/", "", Path(h).read_text(), flags=re.S) for h in headers)
declared = set(re.findall(r"^(?:int|ssize_t|const char\*) (xy_\w+)\(", text, flags=re.M))
exported = {line.split()[-1].split("@")[0] for line in run("nm", "-D", "--defined-only", library).splitlines()
            if line.split()[-2] != "A"}
dynamic = run("readelf", "-d", library)
needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic))
# A sanitizer brings its own.
foreign = {n for n in needed if not re.match(r"libc\.|ld-linux|libpthread|libm\.|libgcc_s|lib[a-z]+san|librt|libdl|libresolv", n)}
complaints = [f"declared but not exported: {n}" for n in sorted(declared - exported)]
complaints += [f"exported but not declared: {n}" for n in sorted(exported - declared)]
complaints += [f"needs {n}" for n in sorted(foreign)]
if "[libxylem.so.0]" not in dynamic:
    complaints.append("soname is not libxylem.so.0")
if len(declared) < 30:
    complaints.append(f"only {len(declared)} functions found in the headers")
print("\n".join(complaints) or f"{len(exported)} functions")
sys.exit(bool(complaints))
