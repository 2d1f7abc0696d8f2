"""The settings of gunicorn that the service would start with and not honour, and where it is to listen."""

from collections.abc import Iterator

from gunicorn.config import Config

OWN_LOG = "the log is that of LOG_LEVEL and LOG_FORMAT, and goes to standard error"
INSTEAD = {
    "http_protocols": "requests on one HTTP/2 connection would wait for each other: "
    "have the proxy in front speak HTTP/1.1 to the service",
    "errorlog": OWN_LOG,
    "loglevel": OWN_LOG,
    "logconfig": OWN_LOG,
    "logconfig_json": OWN_LOG,
    "syslog": OWN_LOG,
    "capture_output": OWN_LOG,
}


def find_binds(config: Config) -> Iterator[str]:
    """Where gunicorn is to listen, each as ``BIND`` has it: its command line wins over that setting."""
    for address in config.address:
        if isinstance(address, tuple):
            yield "{}:{}".format(*address)
        else:
            yield f"fd://{address}" if isinstance(address, int) else f"unix:{address}"


def refuse_settings(config: Config) -> None:
    """Raise ``RuntimeError``, which gunicorn prints before it ends, if one of them is not at its default."""
    defaults = Config().settings
    given = [name for name in INSTEAD if config.settings[name].get() != defaults[name].get()]
    if given:
        raise RuntimeError(
            "\n".join(f"gunicorn's {name} has no effect here: {INSTEAD[name]}." for name in given)
        )
