"""Names text files with trailing blanks, tabs or no newline at the end. Usage: check_text.py FILE..."""

import sys
from pathlib import Path


def faults(text: str) -> list[str]:
    """What is wrong with a file's text, one line each."""
    found = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line != line.rstrip():
            found.append(f"{number}: blanks at the end of the line")
        if "\t" in line:
            found.append(f"{number}: a tab")
    if text and not text.endswith("\n"):
        found.append("no newline at the end")
    return found


def main() -> int:
    """The number of faulty files, 0 to 1."""
    status = 0
    for name in sys.argv[1:]:
        for fault in faults(Path(name).read_text(encoding="utf-8")):
            print(f"{name}:{fault}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
