#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The printed layout is the golden one: check_layout.py PROGRAM layout.txt. To change the ABI on purpose:
PROGRAM > tests/abi/layout.txt, and raise kAbiVersion."""
import subprocess
import sys
from pathlib import Path

program, golden = sys.argv[1:]
printed = subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines()
expected = [line for line in Path(golden).read_text().splitlines() if not line.startswith("#")]
differences = [f"- {line}" for line in expected if line not in printed] + [f"+ {line}" for line in printed if line not in expected]
print("\n".join(differences) or f"{len(printed)} lines as expected")
sys.exit(bool(differences) or printed != expected)
