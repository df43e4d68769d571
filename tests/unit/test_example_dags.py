"""Every example DAG can be copied and used: it imports, and names what exists."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_stripe_app.streams.catalog import resolve_streams
from demo.processes import REPOSITORY

EXAMPLES = sorted((REPOSITORY / "example_dags").glob("*.py"))


def load(path: Path) -> list[Any]:
    from airflow.sdk import DAG

    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [value for value in vars(module).values() if isinstance(value, DAG)]


def test_there_are_examples() -> None:
    assert [path.stem for path in EXAMPLES] == [
        "stripe_accounts",
        "stripe_audit",
        "stripe_sync",
        "stripe_sync_mapped",
    ]


@pytest.mark.matrix
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_imports_and_names_known_streams(path: Path) -> None:
    [dag] = load(path)
    assert dag.dag_id == path.stem
    if path.stem == "stripe_accounts":
        accounts, _, sync = sorted(dag.tasks, key=lambda task: task.task_id)
        assert sync.partial_kwargs["warehouse_conn_id"] == "warehouse"
        assert all(resolve_streams(streams) for streams in accounts.groups)
        return
    [task] = dag.tasks
    values = task.partial_kwargs if task.is_mapped else vars(task)
    assert values["warehouse_conn_id"] == "warehouse"
    for streams in task.expand_input.value["streams"] if task.is_mapped else [task.streams]:
        assert streams is None or resolve_streams(streams)
