"""From what was found wrong to the result of an asset check."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from tutormax_pipeline.findings import Finding, Severity

_SEVERITIES = {
    Severity.ERROR: dg.AssetCheckSeverity.ERROR,
    Severity.WARNING: dg.AssetCheckSeverity.WARN,
}


def result_of(
    check: dg.AssetCheckKey, findings: Sequence[Finding], well: str, metadata: Mapping[str, Any]
) -> dg.AssetCheckResult:
    """The result of a check inside a run.

    Args:
        check: which one.
        findings: what is wrong; none where it passes.
        well: what to say where it passes.
        metadata: figures and ids. Never a value of a record.
    """
    return dg.AssetCheckResult(**_account(check, findings, well, metadata))


def evaluation_of(
    check: dg.AssetCheckKey, findings: Sequence[Finding], well: str, metadata: Mapping[str, Any]
) -> dg.AssetCheckEvaluation:
    """The same, outside any run."""
    return dg.AssetCheckEvaluation(**_account(check, findings, well, metadata))


def _account(
    check: dg.AssetCheckKey, findings: Sequence[Finding], well: str, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "asset_key": check.asset_key,
        "check_name": check.name,
        "passed": not findings,
        "severity": _severity(findings),
        "description": describe(findings, well),
        "metadata": metadata,
    }


def describe(findings: Sequence[Finding], well: str) -> str:
    """What is wrong and what to do; ``well`` where nothing is."""
    return "\n\n".join(f"{one.summary} {one.remedy}" for one in findings) or well


def _severity(findings: Sequence[Finding]) -> dg.AssetCheckSeverity:
    worst = any(one.severity is Severity.ERROR for one in findings) or not findings
    return _SEVERITIES[Severity.ERROR if worst else Severity.WARNING]
