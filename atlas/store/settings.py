"""Where the database is and where the atlas keeps its own files, read once from the environment."""

from __future__ import annotations

from pathlib import Path

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from atlas.errors import StoreError

SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")
MEMORY = r"^[1-9][0-9]*[kKmMgG]$"


class Settings(BaseSettings):
    """One field per environment variable of the same name; an empty variable counts as unset.

    `neo4j_uri` set: that server is used and none is started. Not set: the managed server under
    `atlas_home`. `atlas_heap` and `atlas_page_cache` override the sizes derived from this machine's memory.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True)

    neo4j_uri: str | None = None
    neo4j_user: str = "neo4j"
    neo4j_password: SecretStr | None = None
    neo4j_database: str = "neo4j"
    atlas_home: Path = Field(default_factory=lambda: Path(platformdirs.user_data_dir("circuit-atlas")))
    atlas_cache: Path = Field(default_factory=lambda: Path(platformdirs.user_cache_dir("circuit-atlas")))
    atlas_neo4j_lib: Path | None = None
    atlas_heap: str | None = Field(default=None, pattern=MEMORY)
    atlas_page_cache: str | None = Field(default=None, pattern=MEMORY)

    @field_validator("neo4j_uri")
    @classmethod
    def _known_scheme(cls, uri: str | None) -> str | None:
        if uri is not None and uri.partition("://")[0] not in SCHEMES:
            raise ValueError(f"expected one of the schemes {', '.join(SCHEMES)}")
        return uri

    @field_validator("atlas_home", "atlas_cache", "atlas_neo4j_lib")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return None if path is None else path.expanduser().absolute()

    @property
    def managed(self) -> bool:
        """Whether the server is ours to start and stop."""
        return self.neo4j_uri is None


def load_settings() -> Settings:
    """The settings of this process's environment.

    Raises
    ------
    StoreError : a variable has a value that cannot be used; the line names the variable, not a secret.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]).upper() if first["loc"] else "the environment"
        raise StoreError(
            "a setting cannot be used",
            where=name,
            next_step=f"correct {name}: {first['msg'].removeprefix('Value error, ')}",
        ) from None
