"""The calls to Airflow's REST API that a person with a script would make."""

from __future__ import annotations

import json
import time
from typing import Any
from uuid import uuid4

import requests

FINISHED = frozenset({"success", "failed"})


class AirflowApiError(RuntimeError):
    """Airflow refused a request."""


class RunFailed(RuntimeError):
    """A DAG run did not end as it should; the message has the logs of its failed tasks.

    :param log: those logs.
    """

    def __init__(self, message: str, log: str) -> None:
        super().__init__(f"{message}\n{log}")
        self.log = log


class AirflowApi:
    """Airflow's REST API with a session of one user.

    :param url: address of the API server, without a path.
    :param user: name; with ``None`` the API server must let everybody in as administrator.
    :param password: the user's password.
    """

    def __init__(self, url: str, user: str | None = None, password: str | None = None) -> None:
        self.url = url
        self._login = None if user is None else {"username": user, "password": password}
        self._session = requests.Session()
        self._token: str | None = None

    def token(self) -> str:
        """Return a bearer token for the user (a JWT).

        :raises AirflowApiError: if the login is refused.
        """
        if self._token is None:
            address = f"{self.url}/auth/token"
            answer = (
                self._session.get(address, timeout=30)
                if self._login is None
                else self._session.post(address, json=self._login, timeout=30)
            )
            if answer.status_code != 201:
                raise AirflowApiError(f"Login answered {answer.status_code}: {answer.text[:500]}")
            self._token = str(answer.json()["access_token"])
        return self._token

    def request(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """Send a request under ``/api/v2`` and return the answer, whatever it is.

        :param path: for example ``/connections``.
        :param arguments: for ``requests``: ``json``, ``params``, ``headers``.
        """
        arguments.setdefault("timeout", 60)
        headers = {"Authorization": f"Bearer {self.token()}"} | arguments.pop("headers", {})
        return self._session.request(
            method, f"{self.url}/api/v2{path}", headers=headers, **arguments
        )

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Send a request and return the decoded answer.

        :raises AirflowApiError: if the answer is not 2xx.
        """
        answer = self.request(method, path, **arguments)
        if not answer.ok:
            raise AirflowApiError(
                f"{method} {path} answered {answer.status_code}: {answer.text[:2000]}"
            )
        return answer.json() if answer.content else None

    # ---- connections

    def put_connection(self, conn_id: str, conn_type: str, **fields: Any) -> None:
        """Create a connection, or overwrite it whole.

        :param fields: ``host``, ``login``, ``password``, ``schema``, ``port``,
            ``extra`` (a dict or text).
        """
        extra = fields.get("extra")
        if extra is not None and not isinstance(extra, str):
            fields["extra"] = json.dumps(extra)
        body = {"connection_id": conn_id, "conn_type": conn_type, **fields}
        self.request("DELETE", f"/connections/{conn_id}")
        self.call("POST", "/connections", json=body)

    def connection(self, conn_id: str) -> dict[str, Any] | None:
        """Return a connection as the API shows it (secrets masked), ``None`` if there is none."""
        answer = self.request("GET", f"/connections/{conn_id}")
        return None if answer.status_code == 404 else dict(answer.json())

    # ---- DAGs and runs

    def wait_for_dag(self, dag_id: str, seconds: float = 90) -> None:
        """Wait until the DAG processor has read a DAG, and unpause it.

        :raises AirflowApiError: if it does not appear, with the import errors.
        """
        deadline = time.monotonic() + seconds
        while self.request("GET", f"/dags/{dag_id}").status_code != 200:
            if time.monotonic() > deadline:
                errors = self.call("GET", "/importErrors")
                raise AirflowApiError(f"DAG {dag_id} did not appear in {seconds:.0f} s: {errors}")
            time.sleep(0.3)
        self.call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})

    def trigger(self, dag_id: str, conf: dict[str, Any] | None = None) -> str:
        """Start a DAG run and return its id.

        :param conf: the run's configuration (values for its params).
        """
        run_id = f"run_{uuid4().hex[:12]}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf or {}}
        self.call("POST", f"/dags/{dag_id}/dagRuns", json=body)
        return run_id

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a DAG run."""
        return str(self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def wait_for_run(self, dag_id: str, run_id: str, seconds: float = 180) -> str:
        """Wait until a DAG run has ended.

        :return: ``success`` or ``failed``.
        :raises RunFailed: if it has not ended in time.
        """
        deadline = time.monotonic() + seconds
        while (state := self.run_state(dag_id, run_id)) not in FINISHED:
            if time.monotonic() > deadline:
                raise RunFailed(
                    f"{dag_id} is still {state} after {seconds:.0f} s.", self.logs(dag_id, run_id)
                )
            time.sleep(0.3)
        return state

    def run(
        self,
        dag_id: str,
        conf: dict[str, Any] | None = None,
        *,
        expect: str = "success",
        seconds: float = 180,
    ) -> str:
        """Start a DAG run, wait for its end and return its id.

        :param expect: the state that it must end in.
        :raises RunFailed: if it ends otherwise, with the logs of its tasks.
        """
        run_id = self.trigger(dag_id, conf)
        state = self.wait_for_run(dag_id, run_id, seconds)
        if state != expect:
            raise RunFailed(
                f"{dag_id} ended as {state}, expected {expect}.", self.logs(dag_id, run_id)
            )
        return run_id

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run, mapped ones one by one."""
        answer = self.call(
            "GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", params={"limit": 100}
        )
        return list(answer["task_instances"])

    def xcom(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Any:
        """Return what a task returned."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        entry = self.call("GET", path, params={"map_index": map_index, "deserialize": "false"})
        value = entry["value"]
        if isinstance(value, str):
            try:
                return json.loads(value)
            except ValueError:
                return value
        return value

    def task_log(
        self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1
    ) -> str:
        """Return the log of one try of a task as text, one line an entry."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        answer = self.call(
            "GET",
            path,
            params={"map_index": map_index, "full_content": "true"},
            headers={"Accept": "application/json"},
        )
        content = answer["content"]
        if isinstance(content, str):
            return content
        return "\n".join(_log_line(entry) for entry in content)

    def logs(self, dag_id: str, run_id: str, lines: int = 60) -> str:
        """Return the ends of the logs of a run's tasks that did not succeed, for an error."""
        parts = []
        for task in self.task_instances(dag_id, run_id):
            if task["state"] == "success":
                continue
            head = f"--- {task['task_id']} [{task['map_index']}] is {task['state']}"
            parts.append(head)
            if task["try_number"]:
                text = self.task_log(
                    dag_id, run_id, task["task_id"], task["try_number"], task["map_index"]
                )
                parts += text.splitlines()[-lines:]
        return "\n".join(parts)


def _log_line(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    event = str(entry.get("event", ""))
    errors = [
        f"{error.get('exc_type')}: {error.get('exc_value')}"
        for error in entry.get("error_detail") or []
    ]
    return " ".join([str(entry.get("level", "")), event, *errors]).strip()
