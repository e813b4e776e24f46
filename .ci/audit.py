"""What is installed in .venv, against the advisories that are known: fails where a package has one.

pip-audit, of the Python Packaging Authority, asks the package index for them. It passes over what the index
does not know, without failing; how many were really looked up is therefore said, and a mirror that carries no
advisories is named as what it is: nothing was audited.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

PIP_AUDIT = "pip-audit==2.10.1"
UV = Path(sys.executable).with_name("uv")


def main() -> int:
    """The exit status: 1 where a package has an advisory or pip-audit did not say."""
    installed = next(place for place in sys.path if place.endswith("site-packages"))
    asked = [UV, "tool", "run", "--quiet", PIP_AUDIT, "--path", installed, "--format", "json"]
    done = subprocess.run([*asked, "--progress-spinner", "off"], capture_output=True, text=True)
    if not done.stdout.startswith("{"):
        print(f"audit: no answer from pip-audit: {done.stderr.strip()[-500:]}")
        return 1
    packages = json.loads(done.stdout)["dependencies"]
    looked_up = [package for package in packages if "skip_reason" not in package]
    affected = [package for package in looked_up if package["vulns"]]
    for package in affected:
        for one in package["vulns"]:
            mended = ", ".join(one["fix_versions"]) or "no version yet"
            print(f"audit: {package['name']} {package['version']}: {one['id']}, mended in {mended}")
    print(f"audit: {len(looked_up)} of {len(packages)} packages looked up, {len(affected)} with an advisory")
    if not looked_up:
        print("audit: the package index here carries no advisories: nothing was audited")
    return 1 if affected else 0


if __name__ == "__main__":
    sys.exit(main())
