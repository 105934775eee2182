#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The scripts as a newcomer meets them: numbers and words that are wrong, a plain chroot, and a build tree under sudo."""
import os
import pathlib
import subprocess

from lab import BUILD, NOBODY, SOURCE, Directory, main, need_root


def run(*argv, **env):
    """Exit status and everything printed; as if no script had looked for a root of its own yet."""
    kept = {key: value for key, value in os.environ.items() if key != "XYLEM_OWN_ROOT"}
    done = subprocess.run([str(word) for word in argv], text=True, env={**kept, **env}, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=100, check=False)
    return done.returncode, done.stdout


def wrong_words_are_named_at_once():
    nothing = ["--build-dir", "/nonexistent"]  # what is right gets as far as that
    for script, args, wanted in (("demo", ["--hosts", "0"], (2, "--hosts 0")), ("demo", ["--hosts", "201"], (2, "--hosts 201")),
                                 ("demo", ["--leaves", "0"], (2, "--leaves 0")), ("demo", ["--bytes", "1T"], (2, "--bytes 1T")),
                                 ("demo", ["--port", "eth0"], (2, "--port eth0")), ("demo", ["--loss", "100"], (2, "--loss 100")),
                                 ("demo", ["--leaves", "09", "--bytes", "08K"], (1, "/nonexistent")),
                                 ("demo", ["--hosts", "08"], (1, "/nonexistent")), ("lab", ["up", "--hosts", "0"], (2, "--hosts 0")),
                                 ("lab", ["up", "--hosts", "09"], (1, "/nonexistent")), ("bench", ["--only", "foo"], (2, "foo"))):
        command = [SOURCE / "scripts" / script, *args, *nothing]
        status, said = run(*command)
        assert (status, wanted[1] in said) == (wanted[0], True), f"{command}: {status} {said}"


# A chroot whose `/` is a directory like any other: this machine's trees, and a /run of its own.
CHROOT = """
set -e
mount --make-rprivate /
for entry in /*; do
    if [[ -L $entry ]]; then cp -a "$entry" "$1"
    elif [[ -d $entry ]]; then mkdir -p "$1$entry"; case $entry in /run) ;; /proc) mount -t proc proc "$1/proc" ;;
        *) mount --rbind "$entry" "$1$entry" ;; esac; fi
done
cd / && exec chroot "$1" bash -c 'cd "$1" && shift && exec "$@"' chroot "${@:2}"
"""


def lab_works_in_a_plain_chroot():
    with Directory() as directory:
        lab, name = str(SOURCE / "scripts/lab"), f"c{os.getpid()}"
        inside = ["unshare", "--mount", "--propagation", "unchanged", "bash", "-c", CHROOT, "chroot", directory, SOURCE, "bash", "-c"]
        status, said = run(*inside, "unshare --mount true")
        assert status != 0, f"this is no plain chroot: {said}"
        status, said = run(*inside, f"""
            {lab} up --name {name} --build-dir {BUILD} --hosts 1 || exit
            {lab} exec --name {name} 1 pwd && {lab} exec --name {name} 0 xylem status && {lab} status --name {name}
            status=$?
            {lab} down --name {name}
            find /run -mindepth 2 | sed 's/^/left behind: /'
            exit $status""")
        assert status == 0 and "version" in said and f"\n{SOURCE}\n" in f"\n{said}", f"{status}: {said}"
        assert "left behind" not in said, said


def own_root_is_not_in_the_way_where_nothing_is_allowed():
    bare = ["setpriv", "--bounding-set", "-sys_admin", "--inh-caps", "-sys_admin"]
    status, said = run(*bare, SOURCE / "scripts/own-root", "sh", "-c", "echo ran: $XYLEM_OWN_ROOT")
    assert (status, said) == (0, "ran: none\n"), f"{status}: {said}"


def under_sudo_the_build_tree_stays_the_users():
    """scripts/build in a tree of its user's, with stand-ins for what would install and build."""
    with Directory(NOBODY) as directory:
        (directory / "scripts").mkdir()
        (directory / "bin").mkdir()
        for name, text in (("scripts/build", (SOURCE / "scripts/build").read_text()), ("scripts/install-deps", "#!/bin/sh\nid -u\n"),
                           ("bin/meson", "#!/bin/sh\nmkdir build; echo >build/build.ninja\n"), ("bin/ninja", "#!/bin/sh\n")):
            (directory / name).write_text(text)
            (directory / name).chmod(0o755)
        path = f"{directory}/bin:{os.environ['PATH']}"
        status, said = run(directory / "scripts/build", PATH=path, SUDO_UID=str(NOBODY), SUDO_GID=str(NOBODY))
        assert status == 0, said
        assert [line for line in said.splitlines() if line] == ["0", str(NOBODY)], f"packages as root, then as the user: {said}"
        made = [directory / "build", directory / "build/build.ninja"]
        assert [pathlib.Path(p).stat().st_uid for p in made] == [NOBODY, NOBODY], said


if __name__ == "__main__":
    need_root()
    main(wrong_words_are_named_at_once, lab_works_in_a_plain_chroot, own_root_is_not_in_the_way_where_nothing_is_allowed,
         under_sudo_the_build_tree_stays_the_users)
