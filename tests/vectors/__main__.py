"""Write ``docs/vectors`` anew: ``python -m tests.vectors``."""

from __future__ import annotations

from tests.vectors.document import FOLDER, documents

for name, text in documents().items():
    (FOLDER / name).write_text(text)
