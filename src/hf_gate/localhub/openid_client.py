"""The only client of the local Hub's sign-in provider. Its secret is public: every local Hub has the same."""

from __future__ import annotations

from typing import Final

CLIENT_ID: Final = "hf_local_desk"
CLIENT_SECRET: Final = "hf_local_desk_secret"  # noqa: S105 - see above
