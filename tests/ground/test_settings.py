"""Settings: where a value comes from, and what is refused."""

import pytest

from clarion.errors import SettingsError
from clarion.settings import Realtime, Settings, checked, fields, load


def test_every_setting_has_a_default_and_a_help_text() -> None:
    """A server starts without any setting, and each setting says what it is for."""
    assert load().settings == Settings()
    assert all(field.help for field in fields())


def test_a_flag_wins_over_the_environment_which_wins_over_the_file() -> None:
    """The nearer to the person who starts it, the more weight; the source is remembered."""
    loaded = load(
        flags={"port": "1"},
        env={"CLARION_PORT": "2", "CLARION_LIMITS_BODY_BYTES": "2048"},
        toml={"port": 3, "log_level": "debug", "limits": {"body_bytes": 4096, "rooms": 7}},
    )
    assert loaded.settings.port == 1
    assert loaded.settings.log_level == "debug"
    assert (loaded.settings.limits.body_bytes, loaded.settings.limits.rooms) == (2048, 7)
    assert loaded.sources["port"] == "flag --port"
    assert loaded.sources["limits.body_bytes"] == "CLARION_LIMITS_BODY_BYTES"
    assert loaded.sources["limits.rooms"] == "clarion.toml"
    assert loaded.sources["host"] == "default"


def test_names_of_the_former_system_are_honoured_and_said() -> None:
    """An environment made for the former system works, and the start says what was taken from it."""
    loaded = load(
        env={
            "REDIS_HOST": "cache",
            "REDIS_PORT": "6380",
            "REDIS_PASSWORD": "p w/d",
            "FRONTEND_URL": "https://app.example",
            "CORS_ORIGIN": "https://a.example, https://b.example",
            "RATE_LIMIT_WINDOW_MS": "900000",
            "RATE_LIMIT_MAX_REQUESTS": "100",
        }
    )
    settings = loaded.settings
    assert settings.redis_url == "redis://:p%20w%2Fd@cache:6380"
    assert settings.public_url == "https://app.example"
    assert settings.allowed_origins == ["https://a.example", "https://b.example"]
    assert (settings.limits.api_window_s, settings.limits.api_requests) == (900.0, 100)
    assert "redis_url is taken from REDIS_HOST" in loaded.notes
    assert len(loaded.notes) == 5


def test_a_clarion_value_wins_over_a_former_name_and_the_start_says_so() -> None:
    """Both named: the newer name counts, and nobody has to guess."""
    loaded = load(
        env={"CORS_ORIGIN": "https://old.example", "CLARION_ALLOWED_ORIGINS": "https://new.example"}
    )
    assert loaded.settings.allowed_origins == ["https://new.example"]
    assert loaded.notes == [
        "allowed_origins is taken from CLARION_ALLOWED_ORIGINS, which wins over CORS_ORIGIN"
    ]


def test_names_of_clients_are_no_settings() -> None:
    """Whoever exports what the examples read can still start the server, and make keys."""
    read = {"CLARION_URL": "http://127.0.0.1:8000", "CLARION_KEY": "clk_x", "CLARION_TOKEN": "x"}
    assert load(env=read) == load(env={})


def test_that_every_site_may_call_is_said() -> None:
    """`*` is allowed, but nobody sets it unknowingly."""
    assert (
        load(env={"CORS_ORIGIN": "*"})
        .notes[-1]
        .startswith("allowed_origins is * (from CORS_ORIGIN)")
    )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"env": {"CLARION_PROT": "1"}}, "did you mean CLARION_PORT"),
        ({"env": {"CLARION_PORT": "eighty"}}, "CLARION_PORT: 'eighty' is no good for port"),
        ({"env": {"CLARION_PORT": "70000"}}, "<= 65535"),
        ({"env": {"RATE_LIMIT_WINDOW_MS": "1m"}}, "RATE_LIMIT_WINDOW_MS"),
        ({"toml": {"limits": {"bodybytes": 1}}}, "did you mean limits.body_bytes"),
        ({"toml": {"port": "x"}}, "clarion.toml"),
        ({"flags": {"demo": True, "host": "0.0.0.0"}}, "loopback only"),
        ({"flags": {"database_url": "mysql://x"}}, "postgresql://"),
        ({"flags": {"auth.jwt_secret": "short", "auth.issuer": "me"}}, "32 bytes"),
        ({"flags": {"auth.other_secrets": ["x" * 32, "short"]}}, "auth.other_secrets"),
        ({"flags": {"auth.jwt_secret": "x" * 32}}, "auth.issuer must be set"),
        ({"flags": {"auth.jwt_secret": "x" * 32, "auth.issuer": "me", "demo": True}}, "own login"),
        (
            {
                "flags": {
                    "auth.jwt_secret": "x" * 32,
                    "auth.jwks_url": "https://a",
                    "auth.issuer": "m",
                }
            },
            "one of",
        ),
        ({"flags": {"auth.jwks_url": "http://a", "auth.issuer": "m"}}, "https://"),
        ({"flags": {"allowed_origins": "example.com"}}, "not an origin"),
        (
            {"flags": {"limits.egress_soft_bytes": 10, "limits.egress_hard_bytes": 9}},
            "must not exceed",
        ),
        ({"flags": {"workers": "2", "database_url": "postgresql://db/x"}}, "redis_url"),
        ({"flags": {"node_url": "http://10.0.0.5:8000"}}, "redis_url"),
        ({"flags": {"delivery": "live", "delivery_allow": "example.com"}}, "delivery = allowlist"),
    ],
)
def test_a_bad_setting_is_one_clear_line(given: dict[str, dict[str, object]], says: str) -> None:
    """What is wrong, where it was said, and what would be right; never a traceback."""
    with pytest.raises(SettingsError) as caught:
        load(**given)  # type: ignore[arg-type]  # the table mixes value types on purpose
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_secret_that_does_not_parse_is_not_repeated() -> None:
    """An error about a secret names the setting, not its value."""
    with pytest.raises(SettingsError) as caught:
        load(toml={"auth": {"jwt_secret": ["hunter2"]}})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"), [("yes", True), ("ON", True), ("1", True), ("no", False), ("false", False)]
)
def test_yes_and_no_are_understood(text: str, value: bool) -> None:
    """People write booleans in many ways."""
    assert load(env={"CLARION_LOG_JSON": text}).settings.log_json is value


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"CLARION_ADMIN_UI_PASSWORD": "elevenchars"}, "12 characters"),
        (
            {"CLARION_ADMIN_UI_NAMESPACE": "/x", "CLARION_REALTIME_NAMESPACE": "/x"},
            "must not be the same",
        ),
        ({"CLARION_ADMIN_UI_PATH": "/"}, "admin_ui.path"),
        ({"CLARION_ADMIN_UI_MODE": "verbose"}, "admin_ui.mode"),
    ],
)
def test_an_admin_page_that_would_be_open_or_in_the_way_stops_the_start(
    env: dict[str, str], said: str
) -> None:
    """A short password, a namespace of ours, a path that is the whole server."""
    with pytest.raises(SettingsError, match=said):
        load(env=env)


def test_a_part_that_a_program_makes_is_judged_by_the_same_rules() -> None:
    """What is left out has its default, what is good is taken as it is, what is no good is named."""
    assert checked(None, Realtime) == Realtime()
    assert checked(Realtime(path="/ws/"), Realtime).path == "/ws/"
    with pytest.raises(SettingsError, match=r"Realtime: .*path"):
        checked(Realtime(path="no slash"), Realtime)
    with pytest.raises(SettingsError, match=r"Realtime\(…\) is wanted here, not Settings"):
        checked(Settings(), Realtime)


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"CLARION_UPSTREAM_URL": "ftp://app"}, "upstream.url must begin with"),
        ({"CLARION_UPSTREAM_URL": "http://app/events"}, "24 characters"),
        (
            {"CLARION_UPSTREAM_URL": "http://app/events", "CLARION_UPSTREAM_SECRET": "x" * 23},
            "24 characters",
        ),
        ({"CLARION_UPSTREAM_URL": "http://app:99999/events"}, "upstream.url must name a host"),
        ({"CLARION_UPSTREAM_URL": "http://:3100/events"}, "upstream.url must name a host"),
        ({"CLARION_UPSTREAM_URL": "http://[::1/events"}, "upstream.url must name a host"),
        (
            {
                "CLARION_UPSTREAM_URL": "http://app/events",
                "CLARION_UPSTREAM_SECRET": "whsec_" + "!" * 24,
            },
            "the rest must be base64",
        ),
    ],
)
def test_an_event_door_that_leads_nowhere_or_that_anybody_could_open_stops_the_start(
    env: dict[str, str], said: str
) -> None:
    """A URL that is none, and a secret that can be guessed or is not what it says."""
    with pytest.raises(SettingsError, match=said):
        load(env=env)


def test_the_event_door_is_off_or_has_url_and_secret() -> None:
    env = {"CLARION_UPSTREAM_URL": "http://app/events", "CLARION_UPSTREAM_SECRET": "x" * 24}
    assert load(env=env).settings.upstream.events == ["*"]
    assert load().settings.upstream.url == ""


def test_services_of_push_that_a_deployment_adds_stand_beside_the_known_ones() -> None:
    """A browser's own service goes on being known when another is added."""
    push = load(env={"CLARION_PUSH_SERVICES": "push.example"}).settings.push
    assert "push.example" in push.known_services
    assert set(load().settings.push.known_services) < set(push.known_services)


def test_a_setting_may_be_called_as_a_section_is() -> None:
    """`upstream.events` is a setting, `events` a section."""
    assert load(env={"CLARION_UPSTREAM_EVENTS": "a,b"}).settings.upstream.events == ["a", "b"]
