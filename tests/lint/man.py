#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The manual pages of docs/man: mandoc finds nothing to warn of; each function of shim/xylem.map has a page with its
prototype, and no page has one that is not there; constants, structures, rows and pages that they name exist; and each
public constant is in one of them. Exit 77 where mandoc is missing and all else is well."""
import errno
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from tracked import read, tracked_files  # noqa: E402

PAGES = "docs/man/"
LIST = PAGES + "meson.build"
SECTIONS = ("NAME", "LIBRARY", "SYNOPSIS", "DESCRIPTION", "RETURN VALUES", "SEE ALSO", "STANDARDS")
COMMENT = re.compile(r"/\*.*?\*/", re.S)


def squeezed(c):
    """C text without comments, with one spelling of white space."""
    c = re.sub(r"\s+", " ", COMMENT.sub("", c)).strip()
    return re.sub(r" ?([*(),;{}]) ?", r"\1", c)


class Headers:
    """What programs include: prototypes by function, structures by name, and macros."""

    def __init__(self, root):
        names = [n for n in tracked_files(root) if re.fullmatch(r"include/xylem/\w+\.h", n)]
        text = COMMENT.sub("", "".join(read(root, n) for n in names))
        self.macros = set(re.findall(r"^#define (XY_\w+)", text, re.M))
        self.structs = {name: squeezed(body) for name, body in re.findall(r"^struct (\w+) \{(.*?)^\};", text, re.M | re.S)}
        plain = re.sub(r"^#.*$", "", text, flags=re.M)
        found = re.findall(r"^((?:const )?\w+[ *]+)(xy_\w+)(\([^;{]*?\));", plain, re.M | re.S)
        self.functions = {name: squeezed(result + name + arguments) for result, name, arguments in found}


def unescaped(line):
    return line.replace("\\&", "").replace("\\e", "\\")


def displays(text):
    """The literal displays of a page, as they are printed."""
    found = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", text, re.M | re.S)
    return ["".join(unescaped(line) for line in d.splitlines(keepends=True)) for d in found]


def prototypes(text):
    """Function declarations of the SYNOPSIS, in C."""
    out, result, name, arguments = {}, "", None, []
    for line in text.splitlines():
        macro, _, rest = line.partition(" ")
        if macro == ".Ft":
            result = rest
        elif macro == ".Fn":
            words = re.findall(r'"([^"]*)"|(\S+)', rest)
            words = [quoted or bare for quoted, bare in words]
            out[words[0]] = squeezed(f"{result} {words[0]}({', '.join(words[1:])})")
        elif macro == ".Fo":
            name, arguments = rest, []
        elif macro == ".Fa":
            arguments.append(rest.strip('"'))
        elif macro == ".Fc":
            out[name] = squeezed(f"{result} {name}({', '.join(arguments)})")
    return out


class Page:
    def __init__(self, root, file):
        self.file = file
        self.stem, _, self.section = file.removeprefix(PAGES).rpartition(".")
        self.text = read(root, file)
        self.parts = dict(re.findall(r"^\.Sh (.+)\n((?:(?!\.Sh ).*\n)*)", self.text, re.M))
        self.names = re.findall(r"^\.Nm (\S+)", self.parts.get("NAME", ""), re.M)


def check_function_page(page, headers):
    said = [f"section {s} is missing" for s in SECTIONS if s not in page.parts]
    declared = prototypes(page.parts.get("SYNOPSIS", ""))
    if any(not d.startswith("const char") for d in declared.values()) and "ERRORS" not in page.parts:
        said.append("section ERRORS is missing")
    if set(declared) != set(page.names):
        said.append(f"NAME has {sorted(page.names)}, SYNOPSIS {sorted(declared)}")
    for name, text in declared.items():
        if name not in headers.functions:
            said.append(f"{name} is in no public header")
        elif text != headers.functions[name]:
            said.append(f"{text} is in the header {headers.functions[name]}")
    return said


def check_page(page, headers, pages, rows):
    said = [] if page.section != "3" else check_function_page(page, headers)
    if page.stem not in page.names:
        said.append("NAME does not have the file's name")
    said += [f"no public header defines {m}" for m in sorted(set(re.findall(r"\bXY_\w*[A-Z0-9]\b(?!\*|_)", page.text)) - headers.macros)
             if m != page.stem.upper()]
    said += [f"there is no errno {e}" for e in re.findall(r"\bEr (E\w+)", page.text) if not hasattr(errno, e)]
    for name, section in re.findall(r"\bXr (xy\w*(?:\.toml)?) (\d)", page.text):
        if (name, section) not in pages:
            said.append(f"there is no page {name}({section})")
    said += [f"docs/winsock.md has no row {r}" for r in re.findall(r"\bW-\d+", page.text) if r not in rows]
    for display in displays(page.text):
        for name, body in re.findall(r"^struct (\w+) \{(.*?)^\};", display, re.M | re.S):
            if squeezed(body) != headers.structs.get(name):
                said.append(f"struct {name} is another one in the header")
    return [f"{page.file}: {s}" for s in said]


def check_status(root, pages):
    """xy_status(3) tells of each member of the daemon's JSON."""
    source = "control/session/stats.cc"
    if not pathlib.Path(root, source).exists():
        return []
    members = {a or b for a, b in re.findall(r'\{"(\w+)",|json\["(\w+)"\]', read(root, source))}
    page = "".join(p.text for p in pages if p.stem == "xy_status")
    return [f"{source}: xy_status(3) does not tell of {m}" for m in sorted(members) if not re.search(rf"\b{m}\b", page)]


def check_list(root, pages):
    """docs/man/meson.build names each page once, with the other names of its NAME section."""
    listed = {file: set(re.findall(r"'(\w+)'", names))
              for file, names in re.findall(r"^  '([\w.]+)': \[(.*)\],$", read(root, LIST), re.M)}
    files = {p.file.removeprefix(PAGES): p for p in pages}
    said = [f"{LIST}: {f} is not listed" for f in sorted(set(files) - set(listed))]
    said += [f"{LIST}: there is no {f}" for f in sorted(set(listed) - set(files))]
    for file in sorted(set(files) & set(listed)):
        wanted = set(files[file].names) - {files[file].stem}
        if listed[file] != wanted:
            said.append(f"{LIST}: {file}: other names {sorted(listed[file])}, the page has {sorted(wanted)}")
    return said


def check(root):
    headers = Headers(root)
    exported = set(re.findall(r"^\s+(xy_\w+);", read(root, "shim/xylem.map"), re.M))
    rows = set(re.findall(r"^\| (W-\d+) ", read(root, "docs/winsock.md"), re.M))
    pages = [Page(root, n) for n in tracked_files(root) if re.fullmatch(re.escape(PAGES) + r"[\w.]+\.[0-9]", n)]
    known = {(name, p.section) for p in pages for name in p.names}
    said = check_list(root, pages) + check_status(root, pages)
    for page in pages:
        said += check_page(page, headers, known, rows)
    documented = [name for name, section in known if section == "3"]
    said += [f"shim/xylem.map: {f} has no page" for f in sorted(exported - set(documented))]
    said += [f"{PAGES}: {f} is not in shim/xylem.map" for f in sorted(set(documented) - exported)]
    overview = "".join(p.text for p in pages if p.file == PAGES + "xylem.7")
    if overview:
        listed = set(re.findall(r"^\.Xr (xy_\w+) 3", overview, re.M))
        said += [f"{PAGES}xylem.7: {f} is not listed" for f in sorted(exported - listed)]
    everything = "".join(p.text for p in pages)
    said += [f"include/xylem: no page tells of {m}" for m in sorted(headers.macros) if not re.search(rf"\b{m}\b", everything)]
    return said + mandoc_warnings(root, pages)


def has_mandoc():
    return shutil.which("mandoc") is not None


def mandoc_warnings(root, pages):
    if not has_mandoc() or not pages:
        return []
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *[p.file for p in pages]], cwd=root, capture_output=True, text=True)
    return done.stdout.splitlines() + done.stderr.splitlines()


if __name__ == "__main__":
    violations = check(sys.argv[1] if len(sys.argv) > 1 else ".")
    print("\n".join(violations + [f"{len(violations)} violation(s)"]))
    if not violations and not has_mandoc():
        print("skipped: mandoc is missing; scripts/install-deps installs it")
        sys.exit(77)
    sys.exit(1 if violations else 0)
