"""Settings of the storage floor."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class StorageSettings(BaseModel):
    """How the database is written and read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    busy_timeout_ms: int = Field(
        default=5_000,
        ge=0,
        le=60_000,
        description="How long a write waits for another program's write before it gives up",
        json_schema_extra={"unit": "ms"},
    )
    queue_size: int = Field(
        default=1_024,
        ge=1,
        le=65_536,
        description="Write requests that may wait for the writer before callers wait too",
        json_schema_extra={"unit": "requests"},
    )
    cache_mib: int = Field(
        default=64, ge=1, le=4_096, description="Page cache of the write connection", json_schema_extra={"unit": "MiB"}
    )
    log_rows: int = Field(
        default=200_000,
        ge=1_000,
        le=10_000_000,
        description="Log rows kept in the database; the oldest go first",
        json_schema_extra={"unit": "rows"},
    )
