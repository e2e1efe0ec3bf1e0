"""What every part of TaskFlow shares: models, settings, the queue protocol, telemetry, migrations."""

__version__ = "0.1.0"
