"""The settings of gunicorn that the service would start with and not honour."""

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


def refuse_settings(config: Config) -> None:
    """Raise ``RuntimeError``, which gunicorn prints before it ends, if one of them is not at its default."""
    defaults = Config().settings
    given = [name for name in INSTEAD if config.settings[name].get() != defaults[name].get()]
    if given:
        raise RuntimeError(
            "\n".join(f"gunicorn's {name} has no effect here: {INSTEAD[name]}." for name in given)
        )
