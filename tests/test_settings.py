"""The settings file: where it is searched, what it may hold, what is said when it holds something else."""

from dataclasses import fields
from pathlib import Path

import pytest

from openhcs_core.settings import Settings, SettingsError, load_settings, read_settings, settings_files
from openhcs_core.streaming.publisher import PublisherOptions
from openhcs_core.streaming.security import CurveKeys, key_text

KEY = CurveKeys.new().public


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """An environment in which no settings of this machine are found."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMERODIR", str(tmp_path / "omero"))
    monkeypatch.delenv("OPENHCS_CONFIG", raising=False)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults_without_a_file(monkeypatch, tmp_path):
    monkeypatch.setattr("openhcs_core.settings.settings_files", lambda: [tmp_path / "none.toml"])
    assert load_settings() == Settings()
    assert Settings().export_dir is None
    assert Settings().scratch.is_dir()


def test_all_settings(tmp_path):
    file = write(
        tmp_path / "openhcs.toml",
        'scratch = "/scratch"\nexport_dir = "/data/exports"\nthreads = 3\nbioformats_jar = "/opt/bioformats.jar"\n'
        'java_home = "/opt/java"\nblock_plugins = ["one", "two"]\ntrusted_pipelines = true\n'
        'viewer_targets = ["10.1.0.0/16:5555", "desk.example.org"]\nviewer_listen = "0.0.0.0:5700-5799"\n'
        'viewer_host = "omero.example.org"\nstream_memory_mb = 64\nstream_spool_mb = 0\nstream_overflow = "drop"\n'
        'server_listen = "0.0.0.0:7777"\nserver_health_port = 0\nserver_omero = "omero.example.org:4064"\n'
        'server_state = "/var/lib/openhcs"\nserver_logs = "/var/log/openhcs"\nserver_jobs = 3\n'
        'server_jobs_per_user = 2\nserver_queue_per_user = 500\nserver_grace_s = 0\nexecutor = "dask"\n'
        'executor_address = "tls://scheduler:8786"\nexecutor_workers = 8\n'
        '[path_map]\n"/OMERO" = "/mnt/omero"\n'
        f'[known_servers]\n"omero.example.org:7777" = "{key_text(KEY)}"\n',
    )
    assert read_settings(file) == Settings(
        scratch=Path("/scratch"),
        export_dir=Path("/data/exports"),
        threads=3,
        bioformats_jar=Path("/opt/bioformats.jar"),
        java_home=Path("/opt/java"),
        block_plugins=("one", "two"),
        trusted_pipelines=True,
        viewer_targets=("10.1.0.0/16:5555", "desk.example.org"),
        viewer_listen="0.0.0.0:5700-5799",
        viewer_host="omero.example.org",
        stream_memory_mb=64,
        stream_spool_mb=0,
        stream_overflow="drop",
        server_listen="0.0.0.0:7777",
        server_health_port=0,
        server_omero="omero.example.org:4064",
        server_state=Path("/var/lib/openhcs"),
        server_logs=Path("/var/log/openhcs"),
        server_jobs=3,
        server_jobs_per_user=2,
        server_queue_per_user=500,
        server_grace_s=0,
        executor="dask",
        executor_address="tls://scheduler:8786",
        executor_workers=8,
        path_map={"/OMERO": Path("/mnt/omero")},
        known_servers={"omero.example.org:7777": KEY},
        source=file,
    )


def test_the_first_file_counts(tmp_path, monkeypatch):
    home = write(tmp_path / "home/.config/openhcs.toml", 'scratch = "/from_home"')
    server = write(tmp_path / "omero/etc/openhcs.toml", 'scratch = "/from_server"')
    assert load_settings().source == server
    named = write(tmp_path / "named.toml", 'scratch = "/named"')
    monkeypatch.setenv("OPENHCS_CONFIG", str(named))
    assert load_settings().scratch == Path("/named")
    assert settings_files() == [named, server, Path("/etc/openhcs.toml"), home]


def test_a_named_file_must_exist(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENHCS_CONFIG", str(tmp_path / "missing.toml"))
    with pytest.raises(SettingsError, match=r"missing\.toml, which is not a file"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('scrach = "/tmp"', "no setting 'scrach'. Did you mean 'scratch'?"),
        ("colour = 1", "no setting 'colour'. Known settings: scratch, export_dir, threads, bioformats_jar"),
        ('source = "/tmp"', "no setting 'source'"),
        ("scratch = 5", "'scratch' must be a full path, beginning with '/', not 5"),
        ('export_dir = "exports"', "'export_dir' must be a full path"),
        ("threads = 0", "'threads' must be a whole number from 1, not 0"),
        ('block_plugins = "one"', "'block_plugins' must be a list of names, not 'one'"),
        ("block_plugins = [1]", "'block_plugins' must be a list of names"),
        ("trusted_pipelines = 1", "'trusted_pipelines' must be true or false, not 1"),
        ('viewer_targets = "10.1.0.0/16"', "'viewer_targets' must be a list of names"),
        ('viewer_targets = ["10.1.0.0/16:no"]', "'viewer_targets': '10.1.0.0/16:no' is no network, address or host"),
        (
            'viewer_targets = ["10.300.0.0/16"]',
            "'viewer_targets': '10.300.0.0/16' does not appear to be an IPv4 or IPv6",
        ),
        ('viewer_targets = ["10.1.2"]', "'viewer_targets': '10.1.2' does not appear to be an IPv4 or IPv6"),
        ('viewer_listen = "0.0.0.0"', "'viewer_listen' needs ports, such as 0.0.0.0:5700-5799, unlike '0.0.0.0'"),
        ('viewer_listen = "0.0.0.0:5799-5700"', "'viewer_listen' needs ports"),
        ('viewer_listen = "0.0.0.0:5700-70000"', "'viewer_listen' needs ports"),
        ("viewer_listen = 5700", "'viewer_listen': '5700' does not appear to be an IPv4 or IPv6"),
        ('viewer_host = "omero.example.org:5700"', "'viewer_host' must be the name or address of a host"),
        ('viewer_host = ""', "'viewer_host' must be the name or address of a host"),
        ("stream_memory_mb = 0", "'stream_memory_mb' must be a whole number from 1, not 0"),
        ("stream_spool_mb = -1", "'stream_spool_mb' must be a whole number from 0, not -1"),
        ('stream_overflow = "block"', "'stream_overflow' must be 'wait' or 'drop', not 'block'"),
        ('server_listen = "7777"', "'server_listen' must be host and port, such as 127.0.0.1:7777, not '7777'"),
        ("server_omero = 4064", "'server_omero' must be host and port"),
        ("server_jobs = 0", "'server_jobs' must be a whole number from 1"),
        ('executor = ""', "'executor' must be a text, not ''"),
        ("executor_address = 8786", "'executor_address' must be a text, not 8786"),
        ('known_servers = "KEY"', "'known_servers' must be a table of keys by host and port"),
        ('[known_servers]\nhere = "KEY"', "'known_servers' must be host and port"),
        ('[known_servers]\n"here:7777" = "KEY"', "'known_servers': The key is not a public key"),
        ("threads = true", "'threads' must be a whole number from 1, not True"),
        ('threads = "4"', "'threads' must be a whole number"),
        ('path_map = "/OMERO"', "'path_map' must be a table"),
        ('[path_map]\n"OMERO" = "/mnt"', "'path_map' must be a full path"),
        ('[path_map]\n"/OMERO" = 1', "'path_map./OMERO' must be a full path"),
        ("scratch = ", "is not a TOML file"),
        ("scratch = '\udcff'", "is not a TOML file"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_key(tmp_path, text, message):
    file = tmp_path / "openhcs.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(SettingsError) as caught:
        read_settings(file)
    assert str(file) in str(caught.value)
    assert message in str(caught.value)


def test_the_guide_tells_every_setting():
    guide = Path(__file__).parents[1].joinpath("docs", "operator-guide.md").read_text(encoding="utf-8")
    names = {setting.name for setting in fields(Settings)} - {"source"}
    assert {name for name in names if f"\n{name} = " in guide or f"\n[{name}]" in guide} == names


def test_a_folder_is_no_settings_file(tmp_path):
    with pytest.raises(SettingsError, match="cannot be read: Is a directory"):
        read_settings(tmp_path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/OMERO/ManagedRepository/a/b.tif", "/mnt/repository/a/b.tif"),
        ("/OMERO/Pixels/1", "/mnt/omero/Pixels/1"),
        ("/OMERO", "/mnt/omero"),
        ("/OMERO2/a.tif", "/OMERO2/a.tif"),
    ],
)
def test_the_longest_mapped_folder_counts(path, expected):
    settings = Settings(path_map={"/OMERO": Path("/mnt/omero"), "/OMERO/ManagedRepository/": Path("/mnt/repository")})
    assert settings.local_path(path) == Path(expected)


def test_what_a_publisher_may_hold():
    options = Settings(
        Path("/scratch"), stream_memory_mb=3, stream_spool_mb=5, stream_overflow="drop"
    ).publisher_options()
    assert (options.memory_bytes, options.spool_bytes, options.overflow) == (3 << 20, 5 << 20, "drop")
    assert options.scratch == Path("/scratch")
    assert Settings().publisher_options() == PublisherOptions()
