"""With multi-team on, an installation belongs to the team of its app."""

from __future__ import annotations

import pytest
from plugin_server import PERMISSIONS, plugin_server

pytestmark = pytest.mark.airflow

USERS = {"ann": "admin", "tina": "op:team_a", "tom": "op:team_b"}


def test_installation_inherits_the_team_of_its_app_and_is_hidden_from_others(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    home = tmp_path_factory.mktemp("airflow")
    with plugin_server(home, USERS, ("team_a", "team_b")) as server:
        app = server.sim.oauth.register_app(
            redirect_uris=[server.redirect_uri], permissions=PERMISSIONS
        )
        server.connection(
            "a_app", login=app.install_link, password=app.secret_key, team_name="team_a"
        )
        tina, tom = server.browser("tina"), server.browser("tom")
        assert "a_app" in tina.page().text
        assert "a_app" not in tom.page().text

        started = tina.install("a_app", "a_shop")
        back = server.consent(started.location, "acct_1SimulatedStripe")
        assert tina.get(back).status == 303

        assert "a_shop" in tina.page().text
        assert "a_shop" not in tom.page().text
        found = server.browser("ann").get("/api/v2/connections/a_shop").response.json()
        assert found["team_name"] == "team_a"
