"""Where a person reads on: each asset names its page of the docs."""

from collections.abc import Sequence

import dagster as dg

#: Pages by asset group, as paths in the repository: the UI follows no relative link, so they are named.
_PAGES = {"queue": "docs/operations.md", "tutoring": "docs/guarantees.md"}
_OTHER_PAGE = "README.md"

Asset = dg.AssetsDefinition | dg.AssetSpec


def documented(assets: Sequence[Asset]) -> list[Asset]:
    """The assets, with the page about them in their metadata."""
    return list(dg.map_asset_specs(_documented, assets))


def _documented(spec: dg.AssetSpec) -> dg.AssetSpec:
    page = _PAGES.get(spec.group_name or "", _OTHER_PAGE)
    return spec.replace_attributes(metadata={**spec.metadata, "docs": page})
