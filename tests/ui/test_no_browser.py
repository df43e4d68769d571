"""A machine without a browser: said loudly, and a failure where the pages have to be tested."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import chromium
import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts/install_chromium.sh"


def without_browser(**more: str) -> dict[str, str]:
    """Return an environment in which no browser is found."""
    unset = {"CI", "STRIPE_APP_REQUIRE_CHROMIUM", "STRIPE_APP_CHROMIUM"}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    return {**kept, "PATH": "/nowhere", **more}


def run_a_test(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, str(Path(__file__).with_name("test_way_of_an_installation.py"))],
        env=without_browser(**environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_without_a_browser_the_run_says_loudly_what_did_not_run_and_how_to_get_it() -> None:
    done = run_a_test()
    assert done.returncode == 0, done.stdout
    last = done.stdout.splitlines()[-2:]
    assert any("DID NOT RUN" in line and "make chromium" in line for line in last), done.stdout
    assert " passed" not in done.stdout


@pytest.mark.parametrize("name", ["CI", "STRIPE_APP_REQUIRE_CHROMIUM"])
def test_where_the_browser_is_required_its_absence_fails(name: str) -> None:
    done = run_a_test(**{name: "1"})
    assert done.returncode == 1, done.stdout
    assert "It is required here" in done.stdout


def test_ci_installs_the_browser_and_requires_it() -> None:
    steps = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line[:1] not in "#"]
    order = [
        steps.index(one)
        for one in (
            "export STRIPE_APP_REQUIRE_CHROMIUM=1",
            "scripts/install_chromium.sh",
            "make test",
        )
    ]
    assert order == sorted(order)
    makefile = (ROOT / "Makefile").read_text()
    (recipe,) = re.findall(r"^test: .*\n\t(.+)$", makefile, re.MULTILINE)
    assert "tests/ui" in recipe.split()


def test_the_script_and_the_tests_look_for_the_same_browsers() -> None:
    assert f"for name in {' '.join(chromium.NAMES)}; do" in SCRIPT.read_text()


def tools(directory: Path, *names: str) -> str:
    """Return a PATH on which only these programs are found."""
    for name in names:
        found = shutil.which(name)
        assert found, name
        (directory / name).symlink_to(found)
    return str(directory)


def script(path: str) -> subprocess.CompletedProcess[str]:
    bash = shutil.which("bash")
    assert bash
    return subprocess.run(
        [bash, str(SCRIPT)],
        env=without_browser(PATH=path),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_the_script_says_how_to_get_a_browser_where_it_cannot_install_one(tmp_path: Path) -> None:
    done = script(tools(tmp_path, "cat"))
    assert done.returncode == 1
    assert "no apt-get" in done.stderr
    assert "STRIPE_APP_CHROMIUM" in done.stderr


def test_the_script_installs_what_it_needs_and_prints_where_the_browser_is(tmp_path: Path) -> None:
    """With an apt-get that writes down what it was asked for, as root or by sudo."""
    path = tools(tmp_path, "cat", "env", "mktemp", "rm", "tail", "chmod", "bash")
    (tmp_path / "sudo").write_text('#!/usr/bin/env bash\n[[ $1 = -n ]] && shift\nexec "$@"\n')
    (tmp_path / "apt-get").write_text(
        f"""#!/usr/bin/env bash
        echo "$@" >>{tmp_path}/asked
        if [[ $1 = install ]]; then
            : >{tmp_path}/chromium
            chmod +x {tmp_path}/chromium
        fi
        """
    )
    for name in ("sudo", "apt-get"):
        (tmp_path / name).chmod(0o755)
    (tmp_path / "true").symlink_to(shutil.which("true") or "/bin/true")
    done = script(path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "chromium")
    update, install = (tmp_path / "asked").read_text().splitlines()
    assert update.startswith("update")
    assert install.endswith("--no-install-recommends chromium fonts-liberation fonts-dejavu-core")
    (tmp_path / "chromium").unlink()
    (tmp_path / "apt-get").write_text("#!/usr/bin/env bash\necho no network; exit 100\n")
    done = script(path)
    assert done.returncode == 1
    assert "no network" in done.stderr
