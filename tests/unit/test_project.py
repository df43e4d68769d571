"""What a clean clone promises: pinned installs, and a README whose words work."""

from __future__ import annotations

import ast
import re

import pytest

from demo.processes import REPOSITORY

LOCKS = sorted((REPOSITORY / "requirements").glob("*.lock"))


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_a_lock_file_pins_versions_and_hashes_and_names_no_host(path) -> None:
    text = path.read_text()
    assert "://" not in text
    assert "-index" not in text
    entries = re.split(r"\n(?=[a-zA-Z0-9])", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    assert len(entries) >= 1
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+(\[[\w,]+\])?==", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]


def test_the_oldest_supported_airflow_is_the_one_that_is_tested() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text()
    oldest = re.search(
        r"^apache-airflow==(\S+)",
        (REPOSITORY / "requirements/airflow-3.2.0.lock").read_text(),
        re.M,
    )
    assert oldest is not None
    assert oldest.group(1) == "3.2.0"
    assert '"apache-airflow>=3.2"' in project


def test_the_commands_that_readme_and_guide_name_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (REPOSITORY / "Makefile").read_text(), re.M))
    for page in ("README.md", "docs/development.md"):
        named = set(re.findall(r"\bmake ([a-z][a-z0-9-]+)", (REPOSITORY / page).read_text()))
        assert named
        assert named <= targets


def test_the_dag_in_the_readme_runs_as_it_is_printed() -> None:
    from airflow.sdk import DAG

    text = (REPOSITORY / "README.md").read_text()
    [block] = re.findall(r"```python\n(.*?)```", text, re.S)
    code = "\n".join(line.removeprefix("   ") for line in block.splitlines())
    seen: list[DAG] = []
    namespace: dict[str, object] = {}
    exec(
        compile(code.replace("catchup=False):", "catchup=False) as dag:"), "README.md", "exec"),
        namespace,
    )
    seen = [value for value in namespace.values() if isinstance(value, DAG)]
    assert [dag.task_ids for dag in seen] == [["sync"]]


def test_the_readme_names_the_menu_that_the_page_is_in() -> None:
    from airflow_provider_stripe_app.plugin.airflow_plugin import StripeAppPlugin

    [view] = StripeAppPlugin().external_views
    menu = view["category"].capitalize()
    assert f"Airflow › {menu} › **{view['name']}**" in (REPOSITORY / "README.md").read_text()


def test_local_links_of_the_pages_lead_somewhere() -> None:
    for page in (REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))):
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_what_is_taken_from_common_compat_is_in_its_oldest_supported_release() -> None:
    """The names below are in 1.14; a new one needs a look, and perhaps a higher lower bound."""
    known = {
        *("AirflowException", "AirflowFailException", "AirflowNotFoundException"),
        *("AirflowSkipException", "Asset", "TaskGroup"),
        *("BaseHook", "BaseOperator", "BaseOperatorLink", "Context", "Stats", "conf", "timezone"),
    }
    taken = set()
    for path in (REPOSITORY / "airflow_provider_stripe_app").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            module = getattr(node, "module", None)
            if module == "airflow.providers.common.compat.sdk":
                taken |= {alias.name for alias in node.names}
    assert taken
    assert taken <= known
