"""What lies in a bundle beside its wheels and its site: how it is installed, in words and as programs."""

import json
import sys

import dmlteach
from dmlteach.course.bundle import install
from dmlteach.files import readable

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_INSTALL_SH = """\
#!/bin/sh
# Finds Python @PYTHON@ and lets it install dmlteach into .venv beside this file. No network is used.
#     sh install.sh
#     PYTHON=/path/to/python sh install.sh
here=$(dirname "$0")
if [ -n "$PYTHON" ]; then set -- "$PYTHON"; else set -- python@PYTHON@ python3 python; fi
seen=
for python do
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
  if [ "$version" = "@PYTHON@" ]; then exec "$python" "$here/install.py"; fi
  seen="$seen $python is $version;"
done
echo "this bundle needs Python @PYTHON@;${seen:- no Python was found;} install it, or name it:" >&2
echo "    PYTHON=/path/to/python sh install.sh" >&2
exit 1
"""
_INSTALL_PS1 = """\
# This script was not tried: no computer with Windows was at hand. If it fails, call Python @PYTHON@ yourself:
#     py -@PYTHON@ install.py
# To run it:
#     powershell -ExecutionPolicy Bypass -File install.ps1
$install = Join-Path $PSScriptRoot "install.py"
if (Get-Command py -ErrorAction SilentlyContinue) {
    & py "-@PYTHON@" $install
} else {
    & python $install
}
exit $LASTEXITCODE
"""
_README = """\
dmlteach @VERSION@, with all that its course needs, for computers without a network.

For   Python @PYTHON@ on @PLATFORM@, and no other
Room  @SIZE@ for this folder, and @INSTALLED@ more once installed

Linux, macOS   sh install.sh
Windows        powershell -ExecutionPolicy Bypass -File install.ps1    (not tried)

It compares every file with SHA256SUMS, makes the environment .venv in this folder, and installs into it.
It changes nothing outside this folder; to remove what it has installed, delete the folder.

Read the course   open site/index.html in a browser; nothing has to be installed for that
Work in it        .venv/bin/dmlteach lab    (Windows: .venv\\Scripts\\dmlteach lab)
                  copies the chapters into dmlteach-course and opens JupyterLab at the first one
"""


def texts(size: int, installed: int) -> dict[str, str]:
    """The files of a bundle that are text, by name.

    Args:
        size: bytes of the bundle.
        installed: bytes that its packages take once they are installed.
    """
    system = install.this_platform()
    about = {"dmlteach": dmlteach.__version__, "python": PYTHON, "platform": system}
    facts = {"PYTHON": PYTHON, "PLATFORM": system, "VERSION": dmlteach.__version__}
    facts |= {"SIZE": readable(size), "INSTALLED": readable(installed)}
    written = {"install.sh": _INSTALL_SH, "install.ps1": _INSTALL_PS1, "README.txt": _README}
    for name, text in written.items():
        for fact, value in facts.items():
            text = text.replace(f"@{fact}@", value)
        written[name] = text
    return written | {install.ABOUT: json.dumps(about, indent=2) + "\n"}
