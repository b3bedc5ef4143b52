"""`make scan`: checkov over infra/, offline.

checkov pins a hundred packages of its own, many older than ours, so it gets an environment of its own under `.tidemill/`, from its own
lock, made when first asked for. It takes half a minute to run; `tests/infra` checks the rules that matter most in milliseconds.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tools.bootstrap import ROOT, Checkout, SetupError, digest, run, step, uv_environment


def main() -> int:
    """Scan this checkout's infra/. Returns 0 when every rule holds, 1 when one does not or the scan could not be done."""
    checkout = Checkout(ROOT)
    try:
        scanner = _scanner(checkout)
    except SetupError as error:
        print(f"\nThe scanner could not be set up: {error}", file=sys.stderr)
        return 1
    folder = ROOT / "infra"
    answer = subprocess.run(
        [str(scanner), "--directory", str(folder), "--config-file", str(folder / "checkov.yaml"), "--output", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        problems, passed = read_report(answer.stdout)
    except ValueError:
        print(f"The scanner gave no report (exit code {answer.returncode}):\n{answer.stderr[-2000:]}", file=sys.stderr)
        return 1
    for problem in problems:
        print(problem)
    print(f"infra/: {passed} rules held, {len(problems)} did not")
    return 1 if problems else 0


def read_report(text: str) -> tuple[list[str], int]:
    """Read checkov's JSON report.

    Returns:
        One sentence for each rule that does not hold, and how many do.

    Raises:
        ValueError: it is no report.
    """
    report = json.loads(text)
    if not isinstance(report, dict) or "summary" not in report:
        raise ValueError("no report")
    summary = report["summary"]
    problems = [
        f"infra{each['file_path']}:{each['file_line_range'][0]}: {each['check_id']} {each['check_name']}"
        for each in report["results"]["failed_checks"]
    ]
    # checkov leaves out a file that it cannot parse and still calls the scan a success.
    if summary["parsing_errors"]:
        problems.append(f"{summary['parsing_errors']} file(s) could not be parsed, so nobody looked at them")
    if summary["passed"] == 0:
        problems.append("not one rule was applied")
    return problems, summary["passed"]


def _scanner(checkout: Checkout) -> Path:
    home = checkout.state / "scanner"
    program, stamp = home / "bin" / "checkov", home / "lock.sha256"
    lock = checkout.root / "infra" / "scanner.lock"
    wanted = digest([lock])
    if program.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return program
    checkout.log.parent.mkdir(parents=True, exist_ok=True)
    with step("infrastructure scanner (checkov)"):
        run(checkout, [sys.executable, "-m", "venv", "--clear", "--without-pip", str(home)], what="its environment could not be made")
        run(
            checkout,
            [str(checkout.uv), "pip", "sync", "--quiet", "--require-hashes", "--python", str(home / "bin" / "python"), str(lock)],
            what="checkov could not be installed",
            environment={**uv_environment(checkout), "VIRTUAL_ENV": str(home)},
        )
    stamp.write_text(wanted, encoding="utf-8")
    return program


if __name__ == "__main__":
    sys.exit(main())
